"""``flagstream`` on a machine whose clock is wrong: the first argument says by how many seconds."""

import runpy
import sys
import time

SKEW_S = float(sys.argv.pop(1))
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + SKEW_S
time.time_ns = lambda: _time_ns() + round(SKEW_S * 1e9)
runpy.run_module("flagstream", run_name="__main__")

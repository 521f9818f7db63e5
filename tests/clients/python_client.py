"""
Runs calls of posthog-python, of whatever version the path begins with, and prints the results.

Reads ``{token, options, calls: [[method, arguments], ...]}`` from stdin; arguments are by name.
"""

import json
import sys

from posthog import Posthog

asked = json.load(sys.stdin)
client = Posthog(asked["token"], **asked["options"])
results = [getattr(client, method)(**arguments) for method, arguments in asked["calls"]]
client.shutdown()
sys.stdout.write(json.dumps([each if isinstance(each, bool) else None for each in results]))

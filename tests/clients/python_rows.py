"""
A product with posthog-python, of whatever version the path begins with.

Reads ``{token, rows: [{name, host, events, uuids, flag}, ...]}`` from stdin, and plays all rows at
the same time, each with a client of its own: it captures the events, or asks for the flag. Prints
what the flags were, by name of the row.
"""

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

from posthog import Posthog

# What it says of failures is no news here.
logging.disable()
TIMEOUT_S = 5


def play(token, row):
    events = row["events"]
    client = Posthog(
        token,
        host=row["host"],
        flush_at=max(len(events), 1),
        timeout=TIMEOUT_S,
        feature_flags_request_timeout_seconds=TIMEOUT_S,
    )
    for event in events:
        client.capture(event=event, distinct_id="user-1", uuid=row["uuids"].get(event))
    value = None if events else flag_value(client, row["flag"])
    client.shutdown()
    return value


def flag_value(client, key):
    if hasattr(client, "evaluate_flags"):
        return client.evaluate_flags("user-1").get_flag(key)
    return client.get_feature_flag(key, "user-1")


asked = json.load(sys.stdin)
names = [row["name"] for row in asked["rows"]]
with ThreadPoolExecutor(len(names)) as pool:
    values = pool.map(lambda row: play(asked["token"], row), asked["rows"])
    sys.stdout.write(json.dumps(dict(zip(names, values, strict=True))))

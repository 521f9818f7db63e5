"""
Records what a release keeps and answers, for all later ones to be held against.

    python -m tests.conformance.record_views 0.1 > tests/conformance/views/0.1.json

A server is given flags, groups, persons and sessions, is asked, and is stopped; its changelogs are
written beside its answers.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flagstream.scan import scan
from flagstream.settings import Settings
from flagstream.topics import Table
from flagstream.transport.opening import opened
from tests.filters import group_filters
from tests.server import Server

GROUPS = 60
PLANS = ("free", "gold", None)


def flags() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield key, filters and members: rollouts by either hash, variants, cohorts, persons."""
    yield "rollout", group_filters(37), {}
    yield "rollout-sha1", group_filters(37), {"bucketing": "sha1"}
    yield "gold", group_filters(60, plan="gold"), {}
    shares = {"a": 20, "b": 50, "c": 30}
    variants = [{"key": key, "rollout_percentage": share} for key, share in shares.items()]
    yield "variants", {**group_filters(), "multivariate": {"variants": variants}}, {}
    member = {"key": "id", "type": "cohort", "value": 1, "operator": "in"}
    yield "cohort", {"groups": [{"properties": [member], "rollout_percentage": 100}]}, {}
    pro = {"key": "tier", "type": "person", "value": "pro", "operator": "exact"}
    yield "person", {"groups": [{"properties": [pro], "rollout_percentage": 50}]}, {}


def fill(server: Server) -> None:
    server.set_group("company", "first", plan="gold")
    rules = {"type": "AND", "values": [{"key": "tier", "type": "person", "value": "pro"}]}
    server.api("POST", "cohorts/", {"name": "Pros", "filters": {"properties": rules}})
    for key, filters, members in flags():
        server.create_flag(key, filters, **members)
    for number in range(GROUPS):
        plan = PLANS[number % len(PLANS)]
        if plan:
            server.set_group("company", f"company-{number}", plan=plan, seats=number)
        user = {"distinct_id": f"user-{number}"}
        tier = {"$set": {"tier": ("pro", "basic")[number % 2]}}
        groups = {"$groups": {"company": f"company-{number}"}, "$session_id": f"session-{number}"}
        server.capture(
            {**user, "event": "$set", "properties": tier},
            {**user, "event": "used", "properties": groups},
        )


def requests() -> Iterator[dict[str, Any]]:
    """Yield what is asked: with the group named, and left to the memory."""
    for number in range(GROUPS):
        asked = {"distinct_id": f"user-{number}", "$session_id": f"session-{number}"}
        yield {**asked, "groups": {"company": f"company-{(number * 7) % GROUPS}"}}
        yield asked


def answer(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a user sees of the flags."""
    return {key: [flag["enabled"], flag.get("variant")] for key, flag in sorted(flags.items())}


async def changelogs(settings: Settings) -> list[dict[str, Any]]:
    async with opened(settings) as log:
        return [
            {"table": table.value, "key": record.key.decode(), "state": record.value.decode()}
            for table in Table
            async for record in scan(log.reader, table.changelog)
            if record.value is not None
        ]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name) / "data")
        server.start()
        fill(server)
        answers = [
            {"request": asked, "flags": answer(server.flags(**asked))} for asked in requests()
        ]
        server.terminate()
        records = asyncio.run(changelogs(Settings(data_dir=server.data_dir)))
    json.dump({"version": sys.argv[1], "records": records, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()

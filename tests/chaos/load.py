"""Users of a cluster in trouble: who writes knows what was acknowledged, who reads what failed."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.cluster import Node
from tests.chaos.invariants import Change
from tests.server import SECRET_KEY, TOKEN

GROUPS = 2_000
PROPERTIES = 5
FLAG_SHARES = {"some": 50, "all": 100}
_WRITERS = 8
_CHANGES_PER_REQUEST = 10
_TIMEOUT_S = 15.0
_ASK_PAUSE_S = 0.05
_BACK_OFF_S = 0.2
# So few that each is seen again before most of its properties have changed.
_WATCHED_GROUPS = 20


@dataclass
class Failure:
    """A flag request that was not answered."""

    node: str
    at_s: float
    reason: str


@dataclass
class Load:
    """
    Writers at any API node, and someone who asks each of them for flags and for groups, over and
    over.

    Attributes:
        acknowledged: In the order of the acknowledgements.
        asked: Flag requests that were answered.
        failures: Those that were not, though nobody had hurt the node that was asked.
        seen: By API node, changes as they were seen there, each as often as it was not the last one
            of its property.
    """

    apis: Sequence[Node]
    changes_per_s: float
    random: random.Random
    acknowledged: list[Change] = field(default_factory=list)
    refused: int = 0
    asked: int = 0
    failures: list[Failure] = field(default_factory=list)
    seen: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._numbers = iter(range(1, 1 << 62))

    @asynccontextmanager
    async def running(self) -> Any:
        """Let all of them loose meanwhile."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            tasks = [asyncio.create_task(self._write(session, each)) for each in range(_WRITERS)]
            tasks += [asyncio.create_task(self._ask(session, api)) for api in self.apis]
            tasks += [asyncio.create_task(self._watch(session, api)) for api in self.apis]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError) and error is not None:
                raise error

    async def _write(self, session: aiohttp.ClientSession, writer: int) -> None:
        pause_s = _WRITERS * _CHANGES_PER_REQUEST / self.changes_per_s
        while True:
            began_s = time.monotonic()
            changes = list(self._changes(writer))
            body = {"api_key": TOKEN, "batch": [_event(change) for change in changes]}
            url = f"{self.random.choice(self.apis).url}/batch/"
            try:
                async with session.post(url, json=body) as response:
                    is_accepted = response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                is_accepted = False
            if is_accepted:
                self.acknowledged += changes
            else:
                self.refused += 1
                await asyncio.sleep(_BACK_OFF_S)
            await asyncio.sleep(max(0.0, began_s + pause_s - time.monotonic()))

    def _changes(self, writer: int) -> Iterator[Change]:
        for _ in range(_CHANGES_PER_REQUEST):
            group = self.random.randrange(writer, GROUPS, _WRITERS)
            name = f"p{self.random.randrange(PROPERTIES)}"
            yield Change(f"group-{group}", name, next(self._numbers))

    async def _ask(self, session: aiohttp.ClientSession, node: Node) -> None:
        body = {"token": TOKEN, "distinct_id": f"user-of-{node.data_dir.name}"}
        while True:
            groups = {"company": f"group-{self.random.randrange(GROUPS)}"}
            began_s = time.monotonic()
            reason = await _flags_problem(session, node, {**body, "groups": groups})
            if reason is None:
                self.asked += 1
            elif not node.was_away(began_s, time.monotonic()):
                self.failures.append(Failure(node.data_dir.name, began_s, reason))
            await asyncio.sleep(_ASK_PAUSE_S)

    async def _watch(self, session: aiohttp.ClientSession, node: Node) -> None:
        seen = self.seen[node.data_dir.name]
        latest = {(change.group, change.name): change for change in seen}
        while True:
            group = f"group-{self.random.randrange(_WATCHED_GROUPS)}"
            for name, number in (await _properties(session, node, group)).items():
                change = Change(group, name, number)
                if latest.get((group, name)) != change:
                    seen.append(change)
                    latest[group, name] = change
            await asyncio.sleep(_ASK_PAUSE_S)


async def _properties(session: aiohttp.ClientSession, node: Node, group: str) -> dict[str, Any]:
    """Read a group's properties; none while the node does not answer or does not know the group."""
    query = {"group_type_index": "0", "group_key": group}
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    url = f"{node.url}/api/projects/@current/groups/find"
    try:
        async with session.get(url, params=query, headers=headers) as response:
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError):
        return {}
    return answer["group_properties"] if response.status == 200 else {}


async def _flags_problem(
    session: aiohttp.ClientSession, node: Node, body: dict[str, Any]
) -> str | None:
    try:
        async with session.post(f"{node.url}/flags/?v=2", json=body) as response:
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        return repr(error)
    if response.status != 200 or answer["errorsWhileComputingFlags"]:
        return f"{response.status}: {answer}"
    return None if set(answer["flags"]) == set(FLAG_SHARES) else f"flags {sorted(answer['flags'])}"


def _event(change: Change) -> dict[str, Any]:
    properties = {
        "$group_type": "company",
        "$group_key": change.group,
        "$group_set": {change.name: change.number},
    }
    return {"event": "$groupidentify", "distinct_id": "writer", "properties": properties}

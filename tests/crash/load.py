"""Writers that know what was acknowledged, and what it means for every flag."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from flagstream.flags import EvaluationContext, FlagSet
from tests.server import TOKEN, Server

PLANS = ("free", "silver", "gold")
EVENTS_PER_REQUEST = 4


@dataclass
class Write:
    """One request of a writer: the properties that it set, and the organization it acted for."""

    number: int
    properties: Mapping[str, Any]
    organization: str
    uuids: Sequence[str]


@dataclass
class Writer:
    """
    One user of two organizations, who writes one request after another.

    Nobody else writes these organizations, so the order of the writes is known.
    """

    name: str
    random: random.Random
    sent: dict[int, Write] = field(default_factory=dict)
    acknowledged: dict[int, Write] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.organizations = (f"{self.name}-a", f"{self.name}-b")

    def next_write(self) -> Write:
        number = len(self.sent) + 1
        write = Write(
            number=number,
            properties={"number": number, "plan": self.random.choice(PLANS)},
            organization=self.random.choice(self.organizations),
            uuids=[str(uuid4()) for _ in range(EVENTS_PER_REQUEST)],
        )
        self.sent[number] = write
        return write

    async def write_for_ever(self, session: aiohttp.ClientSession, url: str) -> None:
        """Write until the server is gone; what it does not acknowledge is not repeated."""
        with suppress(aiohttp.ClientError, ConnectionError):
            while True:
                await self.write(session, url)

    async def write(self, session: aiohttp.ClientSession, url: str) -> None:
        """Write once."""
        write = self.next_write()
        body = {"api_key": TOKEN, "batch": self.events(write)}
        async with session.post(f"{url}/batch/", json=body) as response:
            if response.status == 200:
                self.acknowledged[write.number] = write

    def events(self, write: Write) -> list[dict[str, Any]]:
        identify = {
            "event": "$groupidentify",
            "properties": {
                "$group_type": "organization",
                "$group_key": write.organization,
                "$group_set": write.properties,
            },
        }
        used = {
            "event": "used",
            "properties": {
                "$session_id": f"session-{self.name}",
                "$groups": {"organization": write.organization},
            },
        }
        kinds = [identify, *[used] * (EVENTS_PER_REQUEST - 1)]
        return [
            {**kind, "uuid": uuid, "distinct_id": self.name}
            for kind, uuid in zip(kinds, write.uuids, strict=True)
        ]

    def possible_writes(self, organization: str | None = None) -> list[Write]:
        """
        List what may have been written last, of one organization or at all.

        The last write that was acknowledged, or a later one whose answer was lost.
        """
        of_interest = [
            write for write in self.sent.values() if organization in (None, write.organization)
        ]
        certain = max((w.number for w in of_interest if w.number in self.acknowledged), default=0)
        return [write for write in of_interest if write.number >= certain]


def write_and_kill(server: Server, writers: Sequence[Writer], seconds: float) -> None:
    """Let all writers write, and kill the server in the middle of it."""
    asyncio.run(_write_and_kill(server, writers, seconds))


async def _write_and_kill(server: Server, writers: Sequence[Writer], seconds: float) -> None:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.write_for_ever(session, server.url))
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.kill)


def wrong_properties(server: Server, writer: Writer) -> list[str]:
    """Name the organizations whose properties are lost, mixed, or older than acknowledged."""
    wrong = []
    for organization in writer.organizations:
        allowed = [write.properties for write in writer.possible_writes(organization)]
        was_acknowledged = any(
            write.organization == organization for write in writer.acknowledged.values()
        )
        stored = server.group("organization", organization)
        if stored is None and not was_acknowledged:
            continue
        if stored not in allowed:
            wrong.append(f"{organization}: stored {stored}, allowed {allowed}")
    return wrong


def wrong_flags(server: Server, writer: Writer, flags: FlagSet) -> list[str]:
    """
    Name the answers that no evaluator fed with the acknowledged writes would give.

    The request names no group: the organization has to be remembered.
    """
    answered = {key: flag["enabled"] for key, flag in server.flags(writer.name).items()}
    possible = [_expected(write, writer, flags, server) for write in writer.possible_writes()]
    return [] if answered in possible or not possible else [f"{writer.name}: {answered}"]


def _expected(write: Write, writer: Writer, flags: FlagSet, server: Server) -> dict[str, bool]:
    properties = server.group("organization", write.organization) or {}
    context = EvaluationContext(
        distinct_id=writer.name,
        groups={"organization": write.organization},
        person_properties={},
        group_properties={
            "organization": {**properties, "$group_key": write.organization},
        },
    )
    return {evaluation.key: evaluation.enabled for evaluation in flags.answers(context)}

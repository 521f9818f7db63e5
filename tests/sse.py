"""Server-sent events, read as a client does."""

import asyncio
import json
from typing import Any, NamedTuple

from aiohttp import ClientResponse

TIMEOUT_S = 10.0


class Event(NamedTuple):
    """An event; *data* is decoded JSON, None where it has none."""

    name: str
    id: str
    data: Any


class EventReader:
    """
    Reads a stream.

    Attributes:
        last_id: As a client says it when it comes back.
    """

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> Event | None:
        """Read the next event that has data; None at the end of the stream."""
        while True:
            fields = await self._block()
            if fields is None:
                return None
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                name = fields.get("event", "message")
                return Event(name, self.last_id, json.loads(fields["data"]))

    async def started(self) -> str:
        """Read how the stream begins; gives the id."""
        fields = await self._block()
        assert fields is not None
        assert 1_000 <= int(fields["retry"]) < 5_000
        self.last_id = fields.get("id", self.last_id)
        return self.last_id

    async def _block(self) -> dict[str, str] | None:
        """Read the fields up to an empty line; comments are left out."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(TIMEOUT_S):
            while line := (await self.response.content.readline()).decode():
                if line == "\n":
                    return fields
                name, _, value = line.rstrip("\n").partition(":")
                if name:
                    fields[name] = value.removeprefix(" ")
        return None

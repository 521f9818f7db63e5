"""Memory for bodies, bounded over all requests."""

import asyncio

from aiohttp import web

from flagstream.errors import UnavailableError


class Room:
    """
    What the bodies of all requests take in memory together, as sent and decoded.

    Attributes:
        taken_bytes: By requests that are not answered yet.
        turn: Of the one large body that is being decoded: more at a time would take more memory,
            and none of them less time.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.taken_bytes = 0
        self.turn = asyncio.Semaphore(1)
        self._limit_bytes = limit_bytes

    def share_of(self, request: web.Request) -> "Share":
        """Find what a request has, until it is answered."""
        share = request.get(_SHARE)
        if share is None:
            share = request[_SHARE] = Share(self, self._limit_bytes)
            # aiohttp answers each request in a task of its own.
            task = asyncio.current_task()
            assert task is not None, "asked by a handler"  # noqa: S101 -- for the type checker
            task.add_done_callback(share.give_back)
        return share


class Share:
    """What one request has of the room."""

    def __init__(self, room: Room, limit_bytes: int) -> None:
        self._room = room
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """
        Take as much in addition.

        Raises:
            UnavailableError: It is not there; a request that is alone gets it in any case.
        """
        taken_bytes = self._room.taken_bytes
        is_alone = taken_bytes == self._taken_bytes
        if not is_alone and taken_bytes + size_bytes > self._limit_bytes:
            raise UnavailableError("Too much is being sent at the same time.", retry_after_s=1)
        self._room.taken_bytes += size_bytes
        self._taken_bytes += size_bytes

    def give_back(self, _task: asyncio.Task[None]) -> None:
        """Give all of it back: the request has been answered."""
        self._room.taken_bytes -= self._taken_bytes
        self._taken_bytes = 0


_SHARE = web.RequestKey("share", Share)

"""What tables write on Kafka, published in batches instead of record by record."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextvars import Context
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from faust.types import TP

_MAX_UNSENT = 5_000
_LINGER_S = 0.003


class ChangelogError(Exception):
    """Changelog records could not be written: nothing that they follow from may be committed."""


class _Record(NamedTuple):
    key: bytes
    value: bytes | None
    time_ms: int


class Changelogs:
    """
    Publishes records of changelogs in the order of their posts.

    One batch of each partition is under way at a time; what is posted meanwhile is the next. A
    failure ends it: nothing behind it may be taken for published.
    """

    def __init__(
        self,
        producer: Callable[[], AIOKafkaProducer],
        published: Callable[[TP, int, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """
        Prepare.

        Args:
            producer: Gives the client, once it has started.
            published: Called with the partition, the offset of the last record and their count,
                for each batch that is durable.
            failed: Called once, with why a batch could not be written.
        """
        self._producer = producer
        self._published = published
        self._failed = failed
        self._unsent: defaultdict[TP, deque[_Record]] = defaultdict(deque)
        self._sent: defaultdict[TP, int] = defaultdict(int)
        self._sending: dict[TP, asyncio.Task[None]] = {}
        self._count = 0
        self._failure: BaseException | None = None
        self._moved = asyncio.Event()

    def post(self, tp: TP, key: bytes, value: bytes | None) -> None:
        """Publish a record soon; None is a tombstone."""
        record = _Record(key, value, time.time_ns() // 1_000_000)
        self._unsent[tp].append(record)
        self._count += 1
        if tp not in self._sending and self._failure is None:
            # Without the context of the agent's event, which Faust's tables look at.
            self._sending[tp] = asyncio.get_running_loop().create_task(
                self._send(tp), context=Context()
            )

    @property
    def is_full(self) -> bool:
        """Whether whoever posts should wait for :meth:`ebb`."""
        return self._count > _MAX_UNSENT

    async def ebb(self) -> None:
        """Wait until a batch is through, or until none will be any more."""
        self._moved.clear()
        await self._moved.wait()

    async def delivered(self) -> None:
        """
        Wait until all that was posted so far is durable.

        Raises:
            ChangelogError: A batch could not be written.
        """
        awaited = {tp: self._sent[tp] + len(unsent) for tp, unsent in self._unsent.items()}
        while self._failure is None and any(self._sent[tp] < awaited[tp] for tp in awaited):
            await self.ebb()
        if self._failure is not None:
            raise ChangelogError from self._failure

    async def _send(self, tp: TP) -> None:
        unsent = self._unsent[tp]
        try:
            await self._send_batch(tp, unsent)
            while unsent:
                # Where more comes than fits into a batch under way, a fuller next one costs less.
                await asyncio.sleep(_LINGER_S)
                await self._send_batch(tp, unsent)
        except Exception as error:  # noqa: BLE001 -- handed over
            self._failure = error
            self._failed(error)
        finally:
            del self._sending[tp]
            self._moved.set()

    async def _send_batch(self, tp: TP, unsent: deque[_Record]) -> None:
        producer, count = self._producer(), 0
        batch = producer.create_batch()
        for key, value, time_ms in unsent:
            if batch.append(key=key, value=value, timestamp=time_ms) is None:
                break
            count += 1
        sent = await producer.send_batch(batch, tp.topic, partition=tp.partition)
        first = (await sent).offset
        for _ in range(count):
            unsent.popleft()
        self._count -= count
        self._sent[tp] += count
        self._moved.set()
        self._published(tp, first + count - 1, count)

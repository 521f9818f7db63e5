"""
Faust's Kafka driver, corrected where it loses records.

Everything that we override of it is in this module.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError
from faust.stores import STORES
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as StockRecovery
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import FutureMessage, Message
from mode import ServiceT

from flagstream import telemetry
from flagstream.settings import Settings
from flagstream.topics import topic_specs

from . import overrides
from .embedded import install
from .kafka import MAX_RECORD_BYTES
from .kafka_changelog import Changelogs
from .kafka_connection import REQUEST_TIMEOUT_S, SCHEME, connection
from .kafka_store import KafkaStore
from .overrides import Overrides, check_faust
from .store import Store
from .table import KafkaTable

# What is asked while a broker holds back a fetch has to wait for that. Faust's is 1.5 s, and a
# recovery asks several times, while nobody's records are folded.
_FETCH_MAX_WAIT_MS = 100
# The fetch that a seek has to wait for; it is short as long as no record may be delivered.
_UNPOSITIONED_FETCH_S = 0.1
# So that a source with a hole of its own does not keep the broker busy.
_HOLE_PAUSE_S = 1.0
# So that brokers that are down are not asked over and over.
_RECOVERY_PAUSE_S = 1.0
_BATCH_BYTES = 262_144
_SESSION_TIMEOUT_S = 10.0
# Messages that are handed over before others have a turn.
_SLICE = 50
_COMPACTED = frozenset(spec.name for spec in topic_specs(1) if spec.is_compacted)


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings for an app whose log is ``settings.broker_url``."""
    install()
    TRANSPORTS.aliases["flagstream-kafka"] = f"{__name__}:{Transport.__name__}"
    STORES.aliases["flagstream-kafka"] = f"{KafkaStore.__module__}:{KafkaStore.__name__}"
    return {
        "broker": settings.broker_url.replace(SCHEME, f"flagstream-{SCHEME}"),
        "broker_credentials": _credentials(connection(settings)),
        "store": "flagstream-kafka://",
        # Faust drops records of standbys; the views have a copy that answers meanwhile.
        "table_standby_replicas": 0,
        "Table": KafkaTable,
        "TableManager": TableManager,
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.kafka_replication,
        "topic_disable_leader": True,
        "broker_commit_interval": 0.2,
        # Whoever stays learns by a heartbeat that it has to join anew, and everybody waits for it.
        "broker_heartbeat_interval": 1.0,
        # A killed worker's partitions stand still for so long, also if it is back at once; with
        # less a worker is evicted that is merely busy.
        "broker_session_timeout": _SESSION_TIMEOUT_S,
        # Longer than a session, as Faust has it: who joins a group waits for those that are dead.
        "broker_request_timeout": _SESSION_TIMEOUT_S + REQUEST_TIMEOUT_S / 2,
        "producer_request_timeout": REQUEST_TIMEOUT_S,
        "consumer_max_fetch_size": MAX_RECORD_BYTES,
        "producer_max_request_size": MAX_RECORD_BYTES,
        "producer_max_batch_size": _BATCH_BYTES,
    }


def _credentials(connected: Mapping[str, Any]) -> faust.auth.Credentials | None:
    context = connected.get("ssl_context")
    if "sasl_mechanism" in connected:
        return faust.SASLCredentials(
            username=connected["sasl_plain_username"],
            password=connected["sasl_plain_password"],
            mechanism=connected["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


class Recovery(StockRecovery):
    """
    Recovery of tables that begins anew where a broker does not answer in time.

    Faust takes a step that timed out for its own end: it never recovers a table again, and the
    worker stays in its group, keeps its partitions and folds nothing.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 -- Faust's signature
        try:
            await super()._wait(coro, timeout)
        except IllegalStateError:
            # Assigned to another meanwhile: Faust goes on with the next assignment by itself.
            raise
        except (ServiceStopped, KafkaError) as error:
            if self.should_stop:
                raise
            self.log.warning("Recovery begins anew: %r", error)
            await self.sleep(_RECOVERY_PAUSE_S)
            self.signal_recovery_start.set()
            raise RebalanceAgain from error


class TableManager(overrides.TableManager):
    """Has tables recovered by :class:`Recovery`."""

    @property
    def recovery(self) -> Recovery:
        """Call the service, made when it is first asked for."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast(Recovery, self._recovery)


class ConsumerThread(stock.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    def _create_worker_consumer(self, transport: stock.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS  # noqa: SLF001 -- read when it starts
        return consumer

    async def seek_to_start(self, partitions: set[TP]) -> Mapping[TP, int]:
        """
        Seek to the committed offsets.

        Returns:
            The positions; the first offset kept where nothing was committed. The stock driver
            leaves such a partition where prefetching has brought it, and its records are lost.
        """
        starts: Mapping[TP, int] = await self.call_thread(self._seek_to_start, partitions)
        return starts

    async def _seek_to_start(self, partitions: set[TP]) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        wanted = stock.ensure_aiokafka_TPset(partitions)
        starts = {}
        for partition, first in (await consumer.beginning_offsets(wanted)).items():
            committed = await consumer.committed(partition)
            if committed is not None and committed < first:
                self.log.error(
                    "%s: deleted by retention before it was folded: offsets %s to %s",
                    *(partition, committed, first),
                )
            start = starts[TP(*partition)] = max(first, committed or 0)
            consumer.seek(partition, start)
        return starts

    def rejoin(self) -> None:
        """Join the group anew, soon: partitions are revoked, assigned and recovered."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 -- as Faust's driver
        self.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)


class Consumer(stock.Consumer):
    """
    A consumer that delivers every source record after a rebalance, and none before.

    Source records are fetched only between a seek and the next revocation or seek. What was fetched
    or delivered before is void: it is fetched again, and its acknowledgement does not count.
    Deliveries begin when the flow is resumed after the seek, because with that Faust clears the
    queues of the streams.
    """

    transport: "Transport"
    _thread: ConsumerThread
    _has_sought = False
    _is_positioned = False
    # Counted up whenever what was fetched becomes void.
    _era = 0
    _fetched_era = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fetching = asyncio.Lock()
        self._expected: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: all topics were made before the start."""

    def rejoin(self) -> None:
        """Have the tables recovered once more."""
        self._thread.rejoin()

    def _void(self) -> None:
        self._has_sought = self._is_positioned = False
        self._era += 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop deliveries and commits until the next seek."""
        self._void()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Forget a seek from before: Faust seeks also where a fetch ends without an assignment."""
        self._void()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek the source partitions to where their folding has to go on."""
        self._void()
        era = self._era
        sources = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        await self.maybe_wait_for_commit_to_finish()
        async with self._fetching:
            starts = await self._thread.seek_to_start(sources)
        self._forget_deliveries(sources)
        for tp, start in starts.items():
            self._committed_offset[tp] = start
            self._read_offset[tp] = start or None
            self._expected[tp] = start
        self._has_sought = era == self._era

    def resume_flow(self) -> None:
        """Begin to deliver source records, if their positions are known."""
        super().resume_flow()
        self._is_positioned = self._has_sought

    def _forget_deliveries(self, sources: set[TP]) -> None:
        for message in self._unacked_messages:
            if message.tp in sources:
                message.acked = True
        self._clean_unacked_messages()
        for tp in sources:
            self._gap.pop(tp, None)
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 -- Faust's signature
        wanted = set(active_partitions or ())
        async with self._fetching:
            self._fetched_era = self._era
            if not self._is_positioned:
                wanted = {tp for tp in wanted if self._is_changelog_tp(tp)}
                timeout = min(timeout, _UNPOSITIONED_FETCH_S)
            if wanted:
                return await super()._getmany(wanted, timeout)
        # The client would fetch everything.
        await asyncio.sleep(timeout)
        return {}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 -- Faust's signature
        """Fetch and deliver what is not void; a hole in a source ends it with another seek."""
        async for tp, message in super().getmany(timeout):
            if self._is_changelog_tp(tp):
                yield tp, message
            elif self._is_positioned and self._fetched_era == self._era:
                if message.offset > self._expected[tp] and tp.topic not in _COMPACTED:
                    await self._fetch_again(tp, self._expected[tp], message.offset)
                    return
                self._expected[tp] = message.offset + 1
                yield tp, message

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        if not self.transport.overrides.direct_drain:
            await super()._drain_messages(fetcher)
            return
        changelogs, count = cast(Producer, self.app.producer).changelogs, 0
        while not (self.should_stop or fetcher.should_stop):
            async for tp, message in self.getmany(timeout=1.0):
                while changelogs.is_full:
                    await changelogs.ebb()
                if not self.flow_active:
                    break
                await self.callback(message)
                self._read_offset[tp] = message.offset
                count += 1
                if count % _SLICE == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _fetch_again(self, tp: TP, expected: int, found: int) -> None:
        # Nothing but compaction and retention leaves holes, and the seek knows what retention has
        # deleted. Faust would acknowledge the hole, and what was in it would never be folded.
        self.log.error("%s: offsets %s to %s did not arrive, seeking", tp, expected, found)
        telemetry.SOURCE_HOLES.labels(tp.topic).inc()
        await self.sleep(_HOLE_PAUSE_S)
        await self.perform_seek()
        self._is_positioned = self._has_sought

    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        """Commit, unless the acknowledgements belong to an earlier assignment."""
        return self._is_positioned and await super().commit(*args, **kwargs)


class Producer(stock.Producer):
    """A producer that knows what it has not delivered yet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._undelivered: set[FutureMessage] = set()
        self.changelogs = Changelogs(self._ensure_producer, self._note_published, self._note_failed)

    def _note_published(self, tp: TP, offset: int, count: int) -> None:
        for table in self.app.tables.values():
            if table.changelog_topic_name == tp.topic and isinstance(table.data, Store):
                table.data.save(tp.partition, offset, count)

    def _note_failed(self, error: BaseException) -> None:
        # The next life folds what it follows from anew.
        self.add_future(self.crash(error))

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def on_stop(self) -> None:
        """Call when the service stops, as the last of all: tables are not written any more."""
        await super().on_stop()
        for table in self.app.tables.values():
            if isinstance(table.data, Store):
                table.data.close()

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: all topics were made before the start."""

    def send_soon(self, fut: FutureMessage) -> None:
        """Send a changelog record; :meth:`flush` waits for it."""
        self._undelivered.add(fut)
        fut.add_done_callback(self._undelivered.discard)
        super().send_soon(fut)

    async def flush(self) -> None:
        """
        Wait until every changelog record that was sent so far is delivered.

        The stock driver gives up after 0.1 s, and the offsets that are committed then may be ahead
        of a changelog that is never written. Or it waits for a lull, which load does not bring.

        Raises:
            Exception: A record was refused; nothing that it follows from may be committed.
        """
        if self._undelivered:
            delivered, _ = await asyncio.wait(set(self._undelivered))
            for fut in delivered:
                fut.result()
        await self.changelogs.delivered()


class Transport(stock.Transport):
    """
    Kafka under our own URL scheme, ``flagstream-kafka://``.

    Attributes:
        overrides: To be set before the app starts.
    """

    Consumer = Consumer
    Producer = Producer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_faust()
        self.overrides = Overrides()

"""Brokers, workers and API nodes, each a process that can be hurt and healed."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flagstream.settings import Settings
from flagstream.topics import Table
from flagstream.transport.store import Copy, stored_states
from flagstream.views import open_store
from tests.chaos.invariants import Held
from tests.kafka import Kafka
from tests.server import STOP_TIMEOUT_S, Server
from tests.waiting import until

BROKERS = 3
PARTITIONS = 6
SKEW_S = 5.0
READY_TIMEOUT_S = 120.0
# So that within minutes compaction runs, once a topic allows it, and leaders move back to a broker
# that has been away.
BROKER_PROPERTIES = "log.cleaner.backoff.ms=500\nleader.imbalance.check.interval.seconds=20\n"


class Node(Server):
    """
    A worker or an API node.

    Attributes:
        away: When it could not be expected to answer, each from and to, in monotonic seconds; the
            last may go on.
        held: What it held of the groups when it was last looked at, unless it was wiped since.
    """

    def __init__(self, data_dir: Path, role: str, url: str) -> None:
        super().__init__(
            data_dir,
            broker_url=url,
            role=role,
            partitions=PARTITIONS,
            kafka_replication=BROKERS,
            log_level="warning",
        )
        self.role = role
        self.away: list[list[float]] = []
        self.held: Sequence[Copy] = ()
        self.go()

    def go(self) -> None:
        """Note that it cannot be expected to answer from now on, until it is launched again."""
        self._is_going = True
        if not self.away or len(self.away[-1]) > 1:
            self.away.append([time.monotonic()])

    def come(self) -> None:
        """Note that it answers; one that is being stopped may do so for a while."""
        if len(self.away[-1]) == 1 and not self._is_going:
            self.away[-1].append(time.monotonic())

    def launch(self) -> None:
        self._is_going = False
        super().launch()

    def wipe(self) -> None:
        """Lose the data directory."""
        shutil.rmtree(self.data_dir)
        self.held = ()

    async def look(self) -> Held:
        """Read what it holds of the groups, with what it held before; it has to be stopped."""
        before = self.held
        if self.role == "worker":
            self.held = list(stored_states(self.data_dir / "tables", Table.GROUPS.value))
        else:
            self.held = [await self._view()]
        return Held(self.held, before)

    async def _view(self) -> Copy:
        store = await open_store(Settings(data_dir=self.data_dir))
        try:
            positions = store.positions().items()
            topic = Table.GROUPS.changelog
            ends = {place.partition: end for place, end in positions if place.topic == topic}
            return Copy("the view", ends, dict(store.states(Table.GROUPS)))
        finally:
            store.close()

    def was_away(self, start: float, end: float) -> bool:
        """Tell whether it could not be expected to answer at some moment between two."""
        return any(gone <= end and start <= (back or [end])[0] for gone, *back in self.away)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        return self.runs and super().is_ready()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> None:
        """Wait until it has ended."""
        assert self.process is not None
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Cluster:
    """All processes; what was started ends with :func:`running`."""

    def __init__(self, root: Path, kafka: Kafka, *, workers: int, apis: int) -> None:
        self.kafka = kafka
        self.workers = [Node(root / f"worker-{n}", "worker", kafka.url) for n in range(workers)]
        self.apis = [Node(root / f"api-{n}", "api", kafka.url) for n in range(apis)]
        skewed = self.workers[0]
        skewed.program = ("-m", "tests.chaos.skewed", str(-SKEW_S), *skewed.program[2:])

    @property
    def nodes(self) -> list[Node]:
        return [*self.workers, *self.apis]

    def start(self) -> None:
        """Start whatever does not run, and wait until all are ready."""
        self.kafka.up()
        until(self._is_ready, READY_TIMEOUT_S)

    def _is_ready(self) -> bool:
        is_ready = True
        for node in self.nodes:
            if not node.runs:
                # As a supervisor would, also where it could not start without brokers.
                node.launch()
                is_ready = False
            elif node.is_ready():
                node.come()
            else:
                is_ready = False
        return is_ready

    def stop(self, nodes: Iterable[Node] | None = None) -> None:
        """Ask nodes to stop, all unless some are named, and wait until they have."""
        running = [node for node in (self.nodes if nodes is None else nodes) if node.runs]
        for node in running:
            node.go()
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM)
        for node in running:
            node.wait()


@contextmanager
def running(root: Path, *, workers: int, apis: int) -> Iterator[Cluster]:
    """Run brokers and nodes with all their data below *root*."""
    properties = root / "server.properties"
    properties.write_text(BROKER_PROPERTIES)
    kafka = Kafka(root / "kafka", properties, nodes=BROKERS)
    kafka.up()
    cluster = Cluster(root, kafka, workers=workers, apis=apis)
    try:
        cluster.start()
        yield cluster
    finally:
        for node in cluster.nodes:
            node.kill()
        kafka.down()

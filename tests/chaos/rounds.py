"""
A cluster under load and in trouble, and what has to be true of it after each round.

    python -m tests.chaos.rounds [--minutes 20] [--seed N] [--rate 200]
"""

# ruff: noqa: T201 -- a command as well

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from flagstream.ports import TopicPartition
from flagstream.scan import scan
from flagstream.topics import Table
from flagstream.transport.kafka import KafkaReader
from flagstream.transport.kafka_connection import bootstrap_servers
from tests.chaos.cluster import Cluster, Node, running
from tests.chaos.faults import FAULTS
from tests.chaos.invariants import INVARIANTS, Rest
from tests.chaos.load import FLAG_SHARES, GROUPS, Load
from tests.chaos.watch import CHANGELOG, SOURCE, Watch, reader
from tests.filters import group_filters

WORKERS, APIS = 3, 2
CALM_S = (3.0, 8.0)
CATCH_UP_TIMEOUT_S = 90.0
_SUPERVISION_S = 0.2
_COMPARED_GROUPS = 200
_SHOWN = 5  # of the problems of one kind in one round
_COMPACTION = {
    "cleanup.policy": "compact",
    "max.message.bytes": "4194304",
    "min.compaction.lag.ms": "0",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "3000",
}


@dataclass
class Report:
    """
    What came out of all rounds.

    Attributes:
        problems: By what was looked at, whatever was not as it has to be; empty is good. The
            invariants by name, and the answers to requests for flags: those that differed between
            nodes, and those that failed.
        pauses_s: By what was done, how long a partition with a backlog stood still.
        backlogs: By what was done, the most changes that were not committed.
    """

    seed: int
    rounds: list[Mapping[str, Any]] = field(default_factory=list)
    problems: dict[str, list[str]] = field(
        default_factory=lambda: {name: [] for name in (*INVARIANTS, "answers", "flags")}
    )
    pauses_s: dict[str, float] = field(default_factory=dict)
    backlogs: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many problems there are."""
        return sum(map(len, self.problems.values()))


@dataclass
class Chaos:
    """
    Rounds on one cluster.

    Attributes:
        load_s: How long the load of the last round lasted, in seconds.
    """

    cluster: Cluster
    load: Load
    watch: Watch
    report: Report
    chance: random.Random
    is_compacted: bool = False
    load_s: float = 0.0

    def prepare(self) -> None:
        """Make the flags and the type of the groups."""
        first = self.cluster.apis[0]
        first.set_group("company", "group-0", p0=0)
        for key, share in FLAG_SHARES.items():
            first.create_flag(key, group_filters(share))

    def round(self, faults: Sequence[str]) -> None:
        """Hurt the cluster under load, heal it, and look at everything."""
        began_s = time.monotonic()
        acknowledged = len(self.load.acknowledged)
        self.cluster.start()
        asyncio.run(self._round(faults))
        self._compare_answers()
        self.cluster.stop()
        asyncio.run(self._check())
        self.report.rounds.append(
            {
                "faults": list(faults),
                "compacted": self.is_compacted,
                "seconds": round(time.monotonic() - began_s),
                "acknowledged": len(self.load.acknowledged) - acknowledged,
                "acknowledged_per_s": round(
                    (len(self.load.acknowledged) - acknowledged) / self.load_s, 1
                ),
                "asked": self.load.asked,
                "seen": sum(map(len, self.load.seen.values())),
                "refused_requests": self.load.refused,
                "problems": self.report.count,
            }
        )
        self.report.backlogs = dict(self.watch.backlogs)
        self.report.pauses_s = {name: round(s, 1) for name, s in self.watch.pauses.items()}
        print(json.dumps(self.report.rounds[-1]), file=sys.stderr, flush=True)

    async def _round(self, faults: Sequence[str]) -> None:
        supervising = asyncio.create_task(self._supervise())
        try:
            async with self.watch.running():
                began_s = time.monotonic()
                async with self.load.running():
                    for fault in faults:
                        self.watch.doing = "nothing"
                        await asyncio.sleep(self.chance.uniform(*CALM_S))
                        self.watch.doing = fault
                        await FAULTS[fault](self.cluster, self.chance)
                        await asyncio.sleep(self.chance.uniform(*CALM_S))
                    await asyncio.to_thread(self.cluster.start)
                    await asyncio.sleep(CALM_S[0])
                self.load_s = time.monotonic() - began_s
                await self._catch_up()
        finally:
            supervising.cancel()

    async def _supervise(self) -> None:
        """Note who answers again after it was hurt."""
        while True:
            for node in self.cluster.apis:
                with suppress(OSError):
                    if len(node.away[-1]) == 1 and await asyncio.to_thread(node.is_ready):
                        node.come()
            await asyncio.sleep(_SUPERVISION_S)

    async def _catch_up(self) -> None:
        async with reader(self.cluster.kafka.url) as log:
            deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
            while time.monotonic() < deadline:
                if not any((await self._backlog(log)).values()):
                    return
                await asyncio.sleep(_SUPERVISION_S)

    def _compare_answers(self) -> None:
        """Answers do not differ between nodes that are equally far."""
        for number in self.chance.sample(range(GROUPS), _COMPARED_GROUPS):
            groups = {"company": f"group-{number}"}
            answers = [_answer(api, groups) for api in self.cluster.apis]
            if any(answer != answers[0] for answer in answers):
                self.report.problems["answers"].append(f"{groups}: {answers}")

    async def _check(self) -> None:
        rest = await self._rest()
        for name, violations in INVARIANTS.items():
            self.report.problems[name] += islice(violations(rest), _SHOWN)
        self.report.problems["flags"] += [str(each) for each in self.load.failures[:_SHOWN]]
        self.load.failures.clear()
        self.watch.went_back.clear()

    async def _rest(self) -> Rest:
        async with reader(self.cluster.kafka.url) as log:
            return Rest(
                source=[record async for record in scan(log, SOURCE)],
                changelog=[record async for record in scan(log, CHANGELOG)],
                is_compacted=self.is_compacted,
                acknowledged=self.load.acknowledged,
                seen=self.load.seen,
                commits=self.watch.commits,
                went_back=self.watch.went_back,
                backlog={at.partition: n for at, n in (await self._backlog(log)).items()},
                pauses_s=self.watch.pauses,
                held={node.data_dir.name: await node.look() for node in self.cluster.nodes},
                verified=self._verified(),
            )

    async def _backlog(self, log: KafkaReader) -> Mapping[TopicPartition, int]:
        """Count what was not seen committed."""
        bounds = await log.bounds([SOURCE])
        return self.watch.backlog({place: end for place, (_, end) in bounds.items()})

    def _verified(self) -> Mapping[str, Sequence[str]]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            results = list(pool.map(lambda node: node.cli("verify"), self.cluster.nodes))
        return {
            node.data_dir.name: (result.stdout + result.stderr).splitlines()[-_SHOWN:]
            for node, result in zip(self.cluster.nodes, results, strict=True)
            if result.returncode
        }

    async def compact(self) -> None:
        """From now on the changelogs are compacted within seconds."""
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(self.cluster.kafka.url))
        await admin.start()
        try:
            await admin.alter_configs(
                [
                    ConfigResource(ConfigResourceType.TOPIC, table.changelog, _COMPACTION)
                    for table in Table
                ]
            )
        finally:
            await admin.close()
        self.is_compacted = True


def _answer(api: Node, groups: Mapping[str, str]) -> Mapping[str, Any]:
    flags = api.flags("somebody", groups)
    return {key: (flag["enabled"], flag["reason"]["code"]) for key, flag in flags.items()}


def run(root: Path, rounds: Sequence[Sequence[str]], *, seed: int, rate: float) -> Report:
    """
    Run rounds, each a list of faults by name; the second half of them with compaction running.

    Args:
        root: Of all data.
        rate: Changes a second.
    """
    chance = random.Random(seed)
    report = Report(seed)
    with running(root, workers=WORKERS, apis=APIS) as cluster:
        load = Load(cluster.apis, rate, random.Random(seed + 1))
        chaos = Chaos(cluster, load, Watch(cluster.kafka.url), report, chance)
        chaos.prepare()
        for number, faults in enumerate(rounds):
            if number == len(rounds) // 2 and len(rounds) > 1:
                asyncio.run(chaos.compact())
            chaos.round(faults)
    return report


def random_rounds(seed: int, seconds: float) -> Sequence[Sequence[str]]:
    """Choose faults for about so long: every kind once before any comes again."""
    chance = random.Random(seed)
    rounds: list[list[str]] = []
    rest: list[str] = []
    for _ in range(max(2, round(seconds / 90))):
        faults: list[str] = []
        while len(faults) < 3:
            rest = rest or chance.sample(sorted(FAULTS), len(FAULTS))
            faults.append(rest.pop())
        rounds.append(faults)
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--faults", nargs="+", choices=sorted(FAULTS), help="one round of these")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    rounds = (
        [options.faults] if options.faults else random_rounds(options.seed, options.minutes * 60)
    )
    root = Path(tempfile.mkdtemp(prefix="flagstream-chaos-"))
    report = run(root, rounds, seed=options.seed, rate=options.rate)
    print(json.dumps(vars(report), indent=2))
    if report.count:
        sys.exit(f"{report.count} problems; the data is in {root}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()

"""What can happen to a cluster; each returns with everything still hurt that it does not mend."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient

from flagstream.topics import APP_ID
from flagstream.transport.kafka_connection import bootstrap_servers
from tests.chaos.cluster import BROKERS, Cluster, Node

ZOMBIE_S = 15.0
# Longer than anybody waits for an answer of its.
BROKER_STOPPED_S = 30.0
_GONE_S = (1.0, 5.0)
_BROKER_GONE_S = (5.0, 10.0)

Fault = Callable[[Cluster, random.Random], Awaitable[None]]


async def _kill(node: Node) -> None:
    node.go()
    await asyncio.to_thread(node.kill)


async def _come_back(node: Node, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(*_GONE_S))
    node.launch()


async def _one_killed(nodes: Sequence[Node], chance: random.Random) -> None:
    node = chance.choice(nodes)
    await _kill(node)
    await _come_back(node, chance)


async def _one_wiped(nodes: Sequence[Node], chance: random.Random) -> None:
    node = chance.choice(nodes)
    await _kill(node)
    await asyncio.to_thread(node.wipe)
    await _come_back(node, chance)


async def _one_terminated(cluster: Cluster, nodes: Sequence[Node], chance: random.Random) -> None:
    node = chance.choice(nodes)
    await asyncio.to_thread(cluster.stop, [node])
    await _come_back(node, chance)


async def worker_stopped(cluster: Cluster, chance: random.Random) -> None:
    """Make a zombie: it does not know that its partitions have gone to others meanwhile."""
    worker = chance.choice(cluster.workers)
    if worker.runs:
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(ZOMBIE_S)
        worker.signal(signal.SIGCONT)


async def workers_killed(cluster: Cluster, chance: random.Random) -> None:
    for worker in cluster.workers:
        await _kill(worker)
    await asyncio.gather(*(_come_back(worker, chance) for worker in cluster.workers))


async def workers_rolled(cluster: Cluster, chance: random.Random) -> None:
    for worker in cluster.workers:
        await asyncio.to_thread(cluster.stop, [worker])
        await asyncio.to_thread(cluster.start)


async def broker_killed(cluster: Cluster, chance: random.Random) -> None:
    await _kill_broker(cluster, chance, chance.randrange(BROKERS))


async def broker_stopped(cluster: Cluster, chance: random.Random) -> None:
    """Let a broker stand still for so long that its partitions get other leaders."""
    index = chance.randrange(BROKERS)
    cluster.kafka.signal(index, signal.SIGSTOP)
    await asyncio.sleep(BROKER_STOPPED_S)
    cluster.kafka.signal(index, signal.SIGCONT)


async def coordinator_killed(cluster: Cluster, chance: random.Random) -> None:
    """Kill the broker that the workers' group is kept by."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(cluster.kafka.url))
    await admin.start()
    try:
        number = await admin.find_coordinator(APP_ID)
    finally:
        await admin.close()
    await _kill_broker(cluster, chance, number - 1)


async def _kill_broker(cluster: Cluster, chance: random.Random, index: int) -> None:
    await asyncio.to_thread(cluster.kafka.kill, index)
    await asyncio.sleep(chance.uniform(*_BROKER_GONE_S))
    await asyncio.to_thread(cluster.kafka.up)


async def everything_restarted(cluster: Cluster, chance: random.Random) -> None:
    await asyncio.to_thread(cluster.stop)
    await asyncio.to_thread(cluster.start)


FAULTS: Mapping[str, Fault] = {
    "worker_killed": lambda cluster, chance: _one_killed(cluster.workers, chance),
    "worker_wiped": lambda cluster, chance: _one_wiped(cluster.workers, chance),
    "worker_terminated": lambda cluster, chance: _one_terminated(cluster, cluster.workers, chance),
    "api_killed": lambda cluster, chance: _one_killed(cluster.apis, chance),
    "api_wiped": lambda cluster, chance: _one_wiped(cluster.apis, chance),
    "api_terminated": lambda cluster, chance: _one_terminated(cluster, cluster.apis, chance),
    **{
        fault.__name__: fault
        for fault in (
            worker_stopped,
            workers_killed,
            workers_rolled,
            broker_killed,
            broker_stopped,
            coordinator_killed,
            everything_restarted,
        )
    },
}

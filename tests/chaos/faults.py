"""What can happen to a cluster; each returns with everything still hurt that it does not mend."""

import asyncio
import random
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.admin import AIOKafkaAdminClient

from flagstream.topics import APP_ID
from flagstream.transport.kafka_connection import bootstrap_servers
from tests.chaos.cluster import BROKERS, Cluster, Node

ZOMBIE_S = 15.0
_GONE_S = (1.0, 5.0)
_BROKER_GONE_S = (5.0, 10.0)

Fault = Callable[[Cluster, random.Random], Awaitable[None]]


async def _kill(node: Node) -> None:
    node.go()
    await asyncio.to_thread(node.kill)


async def _come_back(node: Node, chance: random.Random, *, wiped: bool = False) -> None:
    if wiped:
        await asyncio.to_thread(shutil.rmtree, node.data_dir)
    await asyncio.sleep(chance.uniform(*_GONE_S))
    node.launch()


async def worker_killed(cluster: Cluster, chance: random.Random) -> None:
    worker = chance.choice(cluster.workers)
    await _kill(worker)
    await _come_back(worker, chance)


async def worker_wiped(cluster: Cluster, chance: random.Random) -> None:
    worker = chance.choice(cluster.workers)
    await _kill(worker)
    await _come_back(worker, chance, wiped=True)


async def worker_terminated(cluster: Cluster, chance: random.Random) -> None:
    worker = chance.choice(cluster.workers)
    await asyncio.to_thread(cluster.stop, [worker])
    await _come_back(worker, chance)


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


async def api_killed(cluster: Cluster, chance: random.Random) -> None:
    api = chance.choice(cluster.apis)
    await _kill(api)
    await _come_back(api, chance)


async def api_wiped(cluster: Cluster, chance: random.Random) -> None:
    api = chance.choice(cluster.apis)
    await _kill(api)
    await _come_back(api, chance, wiped=True)


async def api_terminated(cluster: Cluster, chance: random.Random) -> None:
    api = chance.choice(cluster.apis)
    await asyncio.to_thread(cluster.stop, [api])
    await _come_back(api, chance)


async def broker_killed(cluster: Cluster, chance: random.Random) -> None:
    await _kill_broker(cluster, chance, chance.randrange(BROKERS))


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
    fault.__name__: fault
    for fault in (
        worker_killed,
        worker_wiped,
        worker_terminated,
        worker_stopped,
        workers_killed,
        workers_rolled,
        api_killed,
        api_wiped,
        api_terminated,
        broker_killed,
        coordinator_killed,
        everything_restarted,
    )
}

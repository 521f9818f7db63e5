"""
``flagstream``, killed by itself in front of one of its requests to Kafka.

Called with the way there, ``create_topics:2,send:3``: the third record behind the second creation.
"""

import os
import signal
import sys

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from flagstream.cli import main

_CLIENTS = {
    "create_topics": AIOKafkaAdminClient,
    "delete_topics": AIOKafkaAdminClient,
    "send": AIOKafkaProducer,
}


def kill_at(way):
    """Count the requests on the way, and kill this process in front of the last."""
    steps = []
    for step in way.split(","):
        name, count = step.split(":")
        steps += [name] * int(count)
    for name, client in _CLIENTS.items():
        setattr(client, name, _counted(name, getattr(client, name), steps))


def _counted(name, request, steps):
    async def counted(*args, **kwargs):
        if steps[0] == name:
            steps.pop(0)
        if not steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return await request(*args, **kwargs)

    return counted


if __name__ == "__main__":
    kill_at(sys.argv[1])
    main(sys.argv[2:])

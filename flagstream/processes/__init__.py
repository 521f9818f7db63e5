"""One server in several processes: a worker that folds, API processes that answer beside it."""

from .channel import Channel
from .feed import Feed
from .remote import RemoteLog
from .replica import ReplicaSide
from .supervisor import Supervisor
from .turns import Turns
from .worker_side import WORKER, WorkerSide

__all__ = [
    "WORKER",
    "Channel",
    "Feed",
    "RemoteLog",
    "ReplicaSide",
    "Supervisor",
    "Turns",
    "WorkerSide",
]

"""What handlers find in the application and in requests, each under a typed key."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiohttp import web

from flagstream.census import Previews
from flagstream.ingest import Ingest
from flagstream.management import (
    Management,
    ProjectManagement,
    Schedules,
    SecretKeyManagement,
)
from flagstream.openapi import ApiDocument
from flagstream.ports import (
    Admission,
    Caller,
    Callers,
    Catalog,
    DeadLetters,
    GroupHistory,
    Progress,
    Project,
    Projects,
    StateView,
    TopicReader,
    Warnings,
)
from flagstream.rates import Rates
from flagstream.settings import Settings
from flagstream.streams import Streams
from flagstream.wire import EventLimits

from .flag_answers import FlagService
from .room import Room


class Served(NamedTuple):
    """
    What an application serves.

    Attributes:
        is_ready: Until then everything but health answers 503.
    """

    routes: Sequence[web.RouteDef]
    is_ready: Callable[[], bool]


SERVED = web.AppKey("served", Served)
SETTINGS = web.AppKey("settings", Settings)
INGEST = web.AppKey("ingest", Ingest)
MANAGEMENT = web.AppKey("management", Management)
PROJECT_MANAGEMENT = web.AppKey("project_management", ProjectManagement)
SECRET_KEYS = web.AppKey("secret_keys", SecretKeyManagement)
SCHEDULES = web.AppKey("schedules", Schedules)
FLAGS = web.AppKey("flags", FlagService)
STREAMS = web.AppKey("streams", Streams)
EVENT_LIMITS = web.AppKey("event_limits", EventLimits)
RATES = web.AppKey("rates", Rates)
ROOM = web.AppKey("room", Room)
PREVIEWS = web.AppKey("previews", Previews)
API_DOCUMENT = web.AppKey("api_document", ApiDocument)

# Annotated instead of passed a type: protocols are abstract.
READER: web.AppKey[TopicReader] = web.AppKey("reader")
HISTORY: web.AppKey[GroupHistory] = web.AppKey("history")
VIEW: web.AppKey[StateView] = web.AppKey("view")
CATALOG: web.AppKey[Catalog] = web.AppKey("catalog")
PROGRESS: web.AppKey[Progress] = web.AppKey("progress")
ADMISSION: web.AppKey[Admission] = web.AppKey("admission")
PROJECTS: web.AppKey[Projects] = web.AppKey("projects")
CALLERS: web.AppKey[Callers] = web.AppKey("callers")
DEAD_LETTERS: web.AppKey[DeadLetters] = web.AppKey("dead_letters")
WARNINGS: web.AppKey[Warnings] = web.AppKey("warnings")
IS_READY: web.AppKey[Callable[[], bool]] = web.AppKey("is_ready")
IS_ALIVE: web.AppKey[Callable[[], bool]] = web.AppKey("is_alive")
METRICS: web.AppKey[Callable[[], Awaitable[bytes]]] = web.AppKey("metrics")
CLOCK_MS: web.AppKey[Callable[[], int]] = web.AppKey("clock_ms")

# Of requests that need a secret key.
CALLER = web.RequestKey("caller", Caller)
PROJECT = web.RequestKey("project", Project)

"""What handlers find in the application, each under a typed key."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from flagstream.ingest import Ingest
from flagstream.management import Management, Schedules
from flagstream.openapi import ApiDocument
from flagstream.ports import (
    Admission,
    Catalog,
    DeadLetters,
    Progress,
    Projects,
    RecordSink,
    StateView,
    TopicReader,
    Warnings,
)
from flagstream.settings import Settings

from .flag_answers import FlagService

SETTINGS = web.AppKey("settings", Settings)
INGEST = web.AppKey("ingest", Ingest)
MANAGEMENT = web.AppKey("management", Management)
SCHEDULES = web.AppKey("schedules", Schedules)
FLAGS = web.AppKey("flags", FlagService)
API_DOCUMENT = web.AppKey("api_document", ApiDocument)

# Annotated instead of passed a type: protocols are abstract.
SINK: web.AppKey[RecordSink] = web.AppKey("sink")
READER: web.AppKey[TopicReader] = web.AppKey("reader")
VIEW: web.AppKey[StateView] = web.AppKey("view")
CATALOG: web.AppKey[Catalog] = web.AppKey("catalog")
PROGRESS: web.AppKey[Progress] = web.AppKey("progress")
ADMISSION: web.AppKey[Admission] = web.AppKey("admission")
PROJECTS: web.AppKey[Projects] = web.AppKey("projects")
DEAD_LETTERS: web.AppKey[DeadLetters] = web.AppKey("dead_letters")
WARNINGS: web.AppKey[Warnings] = web.AppKey("warnings")
IS_READY: web.AppKey[Callable[[], bool]] = web.AppKey("is_ready")
IS_ALIVE: web.AppKey[Callable[[], bool]] = web.AppKey("is_alive")
METRICS: web.AppKey[Callable[[], Awaitable[bytes]]] = web.AppKey("metrics")
CLOCK_MS: web.AppKey[Callable[[], int]] = web.AppKey("clock_ms")

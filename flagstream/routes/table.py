"""The table of all routes."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain

from aiohttp import hdrs, web

from flagstream.openapi import ApiDocument, Section

from . import (
    absent,
    capture,
    cohorts,
    definitions,
    events,
    flag_evaluations,
    flags,
    group_activity,
    group_changes,
    group_properties,
    groups,
    health,
    history,
    keys,
    library,
    management,
    openapi,
    operations,
    persons,
    projects,
    remote_config,
    schedules,
)
from .errors import guarded, not_allowed, not_found
from .pages import API_ROOTS
from .responses import Handler
from .shapes.common import PATH_PARAMETERS

SECTIONS = (
    Section("Events", "Answered once they are durable.", (*capture.routes, *events.routes)),
    Section(
        "Flags",
        "The flags of a user, evaluated.",
        # Before the addresses of single flags, which some of them would be taken for.
        (*flags.routes, *definitions.routes, *flag_evaluations.routes),
    ),
    Section(
        "posthog-js",
        "What posthog-js asks for besides.",
        (*remote_config.routes, *absent.routes, *library.routes),
    ),
    Section(
        "Definitions",
        "Flags, cohorts and settings, as they are changed.",
        (
            *projects.routes,
            *management.routes,
            *cohorts.routes,
            *history.routes,
            *schedules.routes,
        ),
    ),
    Section(
        "Groups",
        "Group types and groups.",
        (*groups.routes, *group_changes.routes, *group_properties.routes, *group_activity.routes),
    ),
    Section("Persons", "Persons, by any of their ids.", persons.routes),
    Section("Operations", "For who runs it.", (*operations.routes, *health.routes)),
    Section("This document", "As JSON, and as a page.", openapi.routes),
)


def add_routes(app: web.Application, is_ready: Callable[[], bool]) -> None:
    """Serve every resource, and refuse every other path and method."""
    app[keys.API_DOCUMENT] = ApiDocument(
        sections=SECTIONS,
        other_roots=[root.rpartition("/")[0] for root in API_ROOTS[1:]],
        parameters=PATH_PARAMETERS,
        always=health.PATHS,
    )
    _add(app, chain.from_iterable(section.routes for section in SECTIONS), is_ready)


def add_health(app: web.Application) -> None:
    """Serve nothing but health."""
    _add(app, health.routes, always)


def _add(
    app: web.Application, routes: Iterable[web.RouteDef], is_ready: Callable[[], bool]
) -> None:
    table: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for definition in routes:
        table[definition.path][definition.method] = definition.handler
    for path, handlers in table.items():
        _add_resource(app, path, handlers, always if path in health.PATHS else is_ready)
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", guarded(not_found, is_ready))


def _add_resource(
    app: web.Application, path: str, handlers: dict[str, Handler], is_ready: Callable[[], bool]
) -> None:
    if hdrs.METH_GET in handlers:
        handlers.setdefault(hdrs.METH_HEAD, handlers[hdrs.METH_GET])
    resource = app.router.add_resource(path)
    for method, handler in handlers.items():
        resource.add_route(method, guarded(handler, is_ready))
    resource.add_route(hdrs.METH_ANY, guarded(not_allowed(handlers), is_ready))


def always() -> bool:
    """Health is told at any time; and a process that nobody watches lives while it answers."""
    return True

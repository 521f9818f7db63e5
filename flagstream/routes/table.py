"""The table of all routes."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain

from aiohttp import hdrs, web

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
    library,
    management,
    operations,
    persons,
    projects,
    remote_config,
)
from .errors import guarded, not_allowed, not_found
from .responses import Handler

_RESOURCES = (
    *(flags, capture, remote_config, definitions, absent, library),
    # Before the addresses of single flags, which theirs would be taken for.
    flag_evaluations,
    *(projects, management, cohorts, groups, group_changes, group_properties, persons, history),
    *(group_activity, events, operations, health),
)


def add_routes(app: web.Application, is_ready: Callable[[], bool]) -> None:
    """Serve every resource, and refuse every other path and method."""
    _add(app, chain.from_iterable(resource.routes for resource in _RESOURCES), is_ready)


def add_health(app: web.Application) -> None:
    """Serve nothing but health."""
    _add(app, health.routes, _always)


def _add(
    app: web.Application, routes: Iterable[web.RouteDef], is_ready: Callable[[], bool]
) -> None:
    table: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for definition in routes:
        table[definition.path][definition.method] = definition.handler
    for path, handlers in table.items():
        _add_resource(app, path, handlers, _always if path in health.PATHS else is_ready)
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


def _always() -> bool:
    """Health is told at any time."""
    return True

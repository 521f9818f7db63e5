"""The table of all routes."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

from aiohttp import hdrs, web

from flagstream.openapi import Access, ApiDocument, Section, needs_key, operation_of

from . import (
    absent,
    capture,
    cohorts,
    definitions,
    events,
    explanations,
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
    ofrep,
    openapi,
    operations,
    persons,
    previews,
    projects,
    remote_config,
    schedules,
    secret_keys,
    streams,
)
from .auth import authorized
from .errors import expected, guarded, not_allowed, not_found
from .keys import Served
from .pages import API_ROOTS
from .responses import Handler, preflight
from .shapes.common import PATH_PARAMETERS

SECTIONS = (
    Section("Events", "Answered once they are durable.", (*capture.routes, *events.routes)),
    Section(
        "Flags",
        "The flags of a user, evaluated.",
        # Before the addresses of single flags, which some of them would be taken for.
        (
            *flags.routes,
            *definitions.routes,
            *flag_evaluations.routes,
            *explanations.routes,
            *previews.routes,
        ),
    ),
    Section("OpenFeature", "Its remote evaluation protocol, OFREP 0.3.", ofrep.routes),
    Section(
        "posthog-js",
        "What posthog-js asks for besides.",
        (*remote_config.routes, *absent.routes, *library.routes),
    ),
    Section(
        "Definitions",
        "Flags, cohorts and settings, as they are changed.",
        (*management.routes, *cohorts.routes, *history.routes, *schedules.routes),
    ),
    Section(
        "Projects and keys",
        "Projects with their settings, and the keys to them.",
        (*projects.routes, *secret_keys.routes),
    ),
    Section(
        "Groups",
        "Group types and groups.",
        (*groups.routes, *group_changes.routes, *group_properties.routes, *group_activity.routes),
    ),
    Section("Changes", "Told at once, over connections that stay open.", streams.routes),
    Section("Persons", "Persons, by any of their ids.", persons.routes),
    Section("Operations", "For who runs it.", (*operations.routes, *health.routes)),
    Section("This document", "As JSON, and as a page.", openapi.routes),
)


# aiohttp's own pattern leaves out braces, which ids of persons may hold.
_PARAMETER = re.compile(r"\{(\w+)\}")
_FOR_OPERATORS = {health.metrics, *(each.handler for each in openapi.routes)}
# What is told of requests to some routes, where that is wanted.
_SPANS = {"capture": capture.routes, "evaluate": (*flags.routes, *ofrep.routes)}
Traced = Callable[[str, Handler], Handler]


def add_routes(
    app: web.Application, is_ready: Callable[[], bool], traced: Traced | None = None
) -> None:
    """Serve every resource, and refuse every other path and method."""
    app[keys.API_DOCUMENT] = ApiDocument(
        sections=SECTIONS,
        other_roots=[root.rpartition("/")[0] for root in API_ROOTS[1:]],
        parameters=PATH_PARAMETERS,
        always=health.PATHS,
    )
    routes = chain.from_iterable(section.routes for section in SECTIONS)
    _add(app, routes if traced is None else _told(routes, traced), is_ready)


def _told(routes: Iterable[web.RouteDef], traced: Traced) -> Iterator[web.RouteDef]:
    names = {id(each): name for name, told in _SPANS.items() for each in told}
    for each in routes:
        if id(each) in names and each.method != hdrs.METH_OPTIONS:
            yield web.RouteDef(each.method, each.path, traced(names[id(each)], each.handler), {})
        else:
            yield each


def add_health(app: web.Application) -> None:
    """Serve nothing but health."""
    _add(app, health.routes, always)


def add_public_part(app: web.Application, whole: web.Application) -> None:
    """Serve what *whole* serves, but for what nobody but operators and backends should reach."""
    served = whole[keys.SERVED]
    _add(app, filter(is_public, served.routes), served.is_ready)


def is_public(definition: web.RouteDef) -> bool:
    """Tell routes that neither want the secret key, nor tell more than that the server answers."""
    return not is_private(definition.handler) and definition.handler not in _FOR_OPERATORS


def _add(
    app: web.Application, routes: Iterable[web.RouteDef], is_ready: Callable[[], bool]
) -> None:
    app[keys.SERVED] = served = Served(tuple(routes), is_ready)
    table: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for definition in served.routes:
        table[definition.path][definition.method] = definition.handler
    for path, handlers in table.items():
        _add_resource(app, path, handlers, always if path in health.PATHS else is_ready)
    nothing = app.router.add_resource("/{path:.*}")
    nothing.add_route(hdrs.METH_ANY, guarded(not_found, is_ready), expect_handler=expected)


def _add_resource(
    app: web.Application, path: str, handlers: dict[str, Handler], is_ready: Callable[[], bool]
) -> None:
    if hdrs.METH_GET in handlers:
        handlers.setdefault(hdrs.METH_HEAD, handlers[hdrs.METH_GET])
    # Pages of other origins only ask where they may ask whether they may.
    guard = partial(guarded, is_ready=is_ready, is_for_pages=hdrs.METH_OPTIONS in handlers)
    resource = app.router.add_resource(_PARAMETER.sub(r"{\1:[^/]+}", path))
    for method, handler in handlers.items():
        guarded_handler = guard(_checked(handler), is_private=is_private(handler))
        resource.add_route(method, guarded_handler, expect_handler=expected)
    refuse = not_allowed(handlers, is_for_pages=hdrs.METH_OPTIONS in handlers)
    resource.add_route(hdrs.METH_ANY, guard(refuse))


def is_private(handler: Handler) -> bool:
    """Tell whether a handler answers who has a secret key alone."""
    return handler is not preflight and needs_key(operation_of(handler).access)


def _checked(handler: Handler) -> Handler:
    """
    Ask for what the handler says that it needs.

    Raises:
        LookupError: It says nothing.
    """
    access = Access.NOTHING if handler is preflight else operation_of(handler).access
    return authorized(handler, access) if needs_key(access) else handler


def always() -> bool:
    """Health is told at any time; and a process that nobody watches lives while it answers."""
    return True

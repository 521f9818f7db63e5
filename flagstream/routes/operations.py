"""What went wrong, for whoever runs a project: dead letters, and what was cut or refused."""

from dataclasses import asdict
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from flagstream.errors import InvalidFieldError, InvalidRequestError, quote
from flagstream.management import iso_time
from flagstream.openapi import Answer, Body, Parameter, described
from flagstream.ports import DeadLetter, WarningSummary
from flagstream.state.access import Scope
from flagstream.state.ingestion_warnings import WarningSample
from flagstream.warning_kinds import ADVICE, WarningKind

from . import keys
from .auth import project_of_key
from .bodies import read_object
from .pages import API_ROOTS, bounded_int, list_document
from .responses import json_response, route
from .shapes import operations as shapes
from .shapes.common import PAGING

_MAX_LISTED = 100
_MAX_REPLAYED = 1_000


@described(
    Answer(shapes.DeadLetters),
    parameters=[
        Parameter(name="after", shape=str, text="The id behind which the list goes on."),
        Parameter(
            name="limit",
            shape=Annotated[int, Meta(ge=1, le=_MAX_LISTED)],
            text="How many at most; 100 where it is not given.",
        ),
    ],
    access=Scope.PROJECT_ADMIN,
)
async def list_dead_letters(request: web.Request) -> web.Response:
    """List what could not be folded, oldest first; ``after`` an id goes on behind it."""
    project = project_of_key(request)
    limit = bounded_int(request, "limit", default=_MAX_LISTED, highest=_MAX_LISTED)
    letters = await request.app[keys.DEAD_LETTERS].list(
        project.id, after=request.query.get("after"), limit=limit
    )
    next_after = letters[-1].id if len(letters) == limit else None
    return json_response({"next_after": next_after, "results": list(map(_document, letters))})


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {**asdict(letter), "value": letter.value.decode("utf-8", "replace")}


@described(Answer(shapes.Replayed), body=Body(shapes.DeadLetterIds), access=Scope.PROJECT_ADMIN)
async def replay_dead_letters(request: web.Request) -> web.Response:
    """Fold the dead letters of the named ids once more."""
    project = project_of_key(request)
    ids = (await read_object(request)).get("ids")
    if not isinstance(ids, list) or not all(isinstance(letter_id, str) for letter_id in ids):
        raise InvalidRequestError(f"ids: expected a list of ids, got {quote(ids)}", attr="ids")
    if not 0 < len(ids) <= _MAX_REPLAYED:
        raise InvalidRequestError(
            f"ids: expected 1 to {_MAX_REPLAYED} ids, got {len(ids)}", attr="ids"
        )
    replayed = await request.app[keys.DEAD_LETTERS].replay(project.id, ids)
    return json_response({"replayed": replayed})


@described(
    Answer(shapes.IngestionWarnings),
    access=Scope.PROJECT_ADMIN,
    parameters=[
        *PAGING,
        Parameter(name="kind", shape=WarningKind, text="Only warnings of this kind."),
    ],
)
async def list_warnings(request: web.Request) -> web.Response:
    """List what was cut, dropped or refused, by kinds, the last seen first."""
    project = project_of_key(request)
    kind = request.query.get("kind")
    if kind is not None and kind not in set(WarningKind):
        raise InvalidFieldError("kind", f"one of {', '.join(WarningKind)}", kind)
    found = await request.app[keys.WARNINGS].summaries(project.id)
    wanted = [each for each in found if kind in (None, each.kind)]
    return json_response(list_document(request, wanted, _warning_document))


def _warning_document(summary: WarningSummary) -> dict[str, Any]:
    outcome, what_to_do = ADVICE[summary.kind]
    return {
        "kind": summary.kind,
        "outcome": outcome,
        "what_to_do": what_to_do,
        "docs": f"docs/reference/limits.md#{summary.kind}",
        "count_24h": summary.count_24h,
        "count": summary.count,
        "first_seen": iso_time(summary.first_ms),
        "last_seen": iso_time(summary.last_ms),
        "samples": [{"time": iso_time(each.time_ms), **_facts(each)} for each in summary.samples],
    }


def _facts(sample: WarningSample) -> dict[str, str | None]:
    names = ("field", "expected", "got", "event", "distinct_id", "uuid")
    return {name: getattr(sample, name) for name in names}


routes = tuple(
    definition
    for root in API_ROOTS
    for definition in (
        *route("GET", f"{root}/dead_letters", list_dead_letters),
        *route("POST", f"{root}/dead_letters/replay", replay_dead_letters),
        *route("GET", f"{root}/ingestion_warnings", list_warnings),
    )
)

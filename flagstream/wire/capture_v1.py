"""Capture v1: a batch whose events carry typed options, and are answered one by one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flagstream.errors import InvalidFieldError

from .capture import Captured, Rejection, parse_events
from .events import Envelope
from .fields import is_list, is_object
from .losses import EventLimits
from .times import unix_ms

# By option, the property that says the same in the older forms.
_OPTIONS = {
    "cookieless_mode": "$cookieless_mode",
    "disable_skew_correction": "$ignore_sent_at",
    "process_person_profile": "$process_person_profile",
    "product_tour_id": "$product_tour_id",
}
_MEMBERS = {"session_id": "$session_id", "window_id": "$window_id"}


class CaptureHeaders(NamedTuple):
    """
    What the headers of a request say.

    Attributes:
        sdk: Name and version of the client, ``posthog-python/7.91.1``.
        sent_at: The client's time of sending, ISO 8601.
    """

    token: str
    sdk: str
    sent_at: str | None


def parse_capture_v1(
    decoded: Any,
    headers: CaptureHeaders,
    *,
    received_ms: int,
    limits: EventLimits = EventLimits(),  # noqa: B008 -- immutable
) -> Captured:
    """
    Read a decoded body; as :func:`.parse_capture`, of which this is another spelling.

    Raises:
        BodyTooLargeError: There are too many events.
        InvalidFieldError: There are no events.
    """
    batch = decoded.get("batch") if is_object(decoded) else None
    if not is_list(batch) or not batch:
        raise InvalidFieldError("batch", "at least one event", batch)
    envelope = Envelope(
        received_ms=received_ms,
        sent_at_ms=unix_ms(headers.sent_at),
        default_name="",
        limits=limits,
    )
    library = _library(headers.sdk)
    events = [_event(event, library) for event in batch]
    return parse_events(events, envelope, headers.token)


def results(
    captured: Captured, rejections: Sequence[Rejection]
) -> Mapping[str, Mapping[str, str | None]]:
    """Answer each event by the uuid that it came with."""
    answers: dict[str, Mapping[str, str | None]] = {
        event.uuid: {"result": "ok", "details": None} for _, event in captured.events
    }
    for each in rejections:
        if each.uuid is not None:
            answers[each.uuid] = {"result": "drop", "details": each.detail}
    return answers


def _library(sdk: str) -> Mapping[str, str]:
    name, _, version = sdk.partition("/")
    return {"$lib": name, "$lib_version": version} if name else {}


def _event(event: Any, library: Mapping[str, str]) -> Any:
    """Spell an event as in the older forms; what is wrong with it is found there."""
    if not is_object(event):
        return event
    properties, options = event.get("properties"), event.get("options")
    if properties is not None and not is_object(properties):
        return event
    told = dict(library)
    for members, names in ((event, _MEMBERS), (options, _OPTIONS)):
        if is_object(members):
            told.update((names[name], members[name]) for name in names if name in members)
    return {**event, "properties": {**(properties or {}), **told}}

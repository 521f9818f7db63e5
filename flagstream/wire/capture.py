"""The envelopes in which events arrive: an object with a batch, a list, or one event."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flagstream.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    UnauthenticatedError,
    quote,
)
from flagstream.limits import MAX_EVENTS

from .events import CapturedEvent, Envelope, parse_event
from .fields import is_list, is_object
from .losses import EventLimits, Loss, loss_of
from .times import sent_at_ms

TOKEN_NAMES = ("api_key", "token", "$token")
_PERSONAL_KEY_PREFIX = "phx_"
_MAX_TEXT_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """
    An event that was refused.

    Attributes:
        index: Its place in the request.
        uuid: As sent, where it is text; its name and distinct id likewise.
        field: What was wrong, dotted.
        loss: The same without what came.
    """

    index: int
    uuid: str | None
    field: str
    detail: str
    name: str | None
    distinct_id: str | None
    loss: Loss


class Captured(NamedTuple):
    """
    The events of one request.

    Attributes:
        events: With their places in the request.
    """

    token: str
    received_ms: int
    events: Sequence[tuple[int, CapturedEvent]]
    rejections: Sequence[Rejection]


def parse_capture(
    decoded: Any,
    query: Mapping[str, str],
    *,
    received_ms: int,
    default_name: str = "",
    limits: EventLimits = EventLimits(),  # noqa: B008 -- immutable
) -> Captured:
    """
    Read a decoded body. A bad event costs none of the good ones beside it.

    Args:
        query: Where older browser clients put the token and the time of sending.
        received_ms: Unix milliseconds now.
        default_name: Of events without one; "" where each must have one.

    Raises:
        UnauthenticatedError: There is no token, more than one, or a personal key.
        BodyTooLargeError: There are more than :data:`flagstream.limits.MAX_EVENTS` events.
        InvalidRequestError: There are no events.
    """
    events = _events(decoded)
    token = _token(decoded, events, query)
    sent_at = decoded.get("sent_at") if is_object(decoded) else None
    envelope = Envelope(
        received_ms=received_ms,
        sent_at_ms=sent_at_ms(sent_at, query),
        default_name=default_name,
        limits=limits,
    )
    return parse_events(events, envelope, token)


def parse_events(events: Sequence[Any], envelope: Envelope, token: str) -> Captured:
    """
    Read the events of a request.

    Raises:
        BodyTooLargeError: There are more than :data:`flagstream.limits.MAX_EVENTS` events.
    """
    if len(events) > MAX_EVENTS:
        raise BodyTooLargeError(f"batch: expected at most {MAX_EVENTS} events, got {len(events)}")
    accepted: list[tuple[int, CapturedEvent]] = []
    rejections: list[Rejection] = []
    for index, event in enumerate(events):
        try:
            accepted.append((index, parse_event(event, envelope)))
        except InvalidRequestError as error:
            rejections.append(rejection(index, event, error))
    return Captured(token, envelope.received_ms, accepted, rejections)


def rejection(index: int, event: Any, error: InvalidRequestError) -> Rejection:
    """Describe why an event was refused."""
    return Rejection(
        index=index,
        uuid=_text(event, "uuid"),
        field=error.attr or "event",
        detail=error.detail,
        name=_text(event, "event"),
        distinct_id=_text(event, "distinct_id"),
        loss=loss_of(error),
    )


def _text(event: Any, name: str) -> str | None:
    value = event.get(name) if is_object(event) else None
    return value[:_MAX_TEXT_CHARS] if isinstance(value, str) else None


def _events(decoded: Any) -> Sequence[Any]:
    events = decoded
    if is_object(decoded):
        events = decoded.get("batch", [decoded])
    if not is_list(events):
        field = "batch" if is_object(decoded) else "body"
        raise InvalidRequestError(f"{field}: expected events, got {quote(events)}", attr=field)
    if not events:
        raise InvalidRequestError("batch: expected at least one event, got none", attr="batch")
    return events


def _token(decoded: Any, events: Sequence[Any], query: Mapping[str, str]) -> str:
    """Read the token: the envelope's goes before those of its events, which must be alike."""
    tokens: set[str] = set()
    if is_object(decoded):
        tokens.update(_named_tokens(decoded))
    if not tokens:
        tokens = {token for event in events for token in _event_tokens(event)}
    if not tokens:
        tokens = set(_named_tokens(query))
    if len(tokens) != 1:
        found = "several" if tokens else "none"
        raise UnauthenticatedError(f"token: expected one project token, got {found}", attr="token")
    token = tokens.pop()
    if token.startswith(_PERSONAL_KEY_PREFIX):
        raise UnauthenticatedError(
            "token: expected a project token, got a personal key", attr="token"
        )
    return token


def _named_tokens(members: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first token that is named."""
    for name in TOKEN_NAMES:
        token = members.get(name)
        if token and isinstance(token, str):
            yield token
            return


def _event_tokens(event: Any) -> Iterator[str]:
    if not is_object(event):
        return
    yield from _named_tokens(event)
    properties = event.get("properties")
    if is_object(properties):
        yield from _named_tokens(properties)

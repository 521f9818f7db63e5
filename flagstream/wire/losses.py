"""What is cut or left out of an event that is kept, and why another one is refused."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flagstream.errors import InvalidFieldError, InvalidRequestError
from flagstream.limits import MAX_PROPERTY_NAME_CHARS
from flagstream.warning_kinds import WarningKind

from .json_text import is_deeper

Properties = dict[str, Any]
_SIZED: Mapping[Any, str] = {
    str: "text of {} characters",
    list: "a list of {}",
    dict: "an object of {}",
}
_NAMES: Mapping[Any, str] = {
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "nothing",
}
_NESTING = (list, dict)
_MAX_NAMED_CHARS = 40


class EventLimits(NamedTuple):
    """
    Bounds of an event that are settings.

    Attributes:
        event_bytes: Of its JSON as it is kept.
        properties: Of an event, and of a stored group or person.
        property_depth: Levels of objects and lists around the innermost value.
        state_bytes: Of a stored group's or person's properties.
    """

    event_bytes: int = 1_048_576
    properties: int = 1_000
    property_depth: int = 32
    state_bytes: int = 1_048_576


class Loss(NamedTuple):
    """
    Something that was cut, or left out.

    Attributes:
        got: What came, by its type and size: never a value.
    """

    kind: WarningKind
    field: str
    expected: str
    got: str


class Size(str):
    """What is said of a value instead of quoting it."""

    __slots__ = ()
    __repr__ = str.__str__


class OverLimitError(InvalidFieldError):
    """Something is over a limit, and would mean something else if it was cut or left out."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.field, loss.expected, Size(loss.got))
        self.loss = loss


def loss_of(error: InvalidRequestError) -> Loss:
    """Tell why an event was refused, without what came."""
    if isinstance(error, OverLimitError):
        return error.loss
    if isinstance(error, InvalidFieldError):
        expected, got = error.expected, measured(error.got)
    else:
        expected, got = "an event", "something else"
    return Loss(WarningKind.INVALID_EVENT, error.attr or "event", expected, got)


def measured(got: Any) -> str:
    """Describe a value by its type and size."""
    sized = _SIZED.get(type(got))
    return _NAMES.get(type(got), "something else") if sized is None else sized.format(len(got))


def cut(text: str, limit: int, kind: WarningKind, field: str, losses: list[Loss]) -> str:
    """Cut a text to *limit* characters."""
    if len(text) <= limit:
        return text
    losses.append(characters(text, limit, kind, field))
    return text[:limit]


def characters(text: str, limit: int, kind: WarningKind, field: str) -> Loss:
    """Describe a text that is too long."""
    return Loss(kind, field, f"at most {limit} characters", f"{len(text)} characters")


def keep_bounded(properties: Properties, field: str, most: int, losses: list[Loss]) -> None:
    """Remove properties with long names, and those behind the last that may be."""
    # Nearly always all names together are shorter than one may be: half the time of each length.
    if len("".join(properties)) > MAX_PROPERTY_NAME_CHARS:
        names = [name for name in properties if len(name) > MAX_PROPERTY_NAME_CHARS]
        if names:
            losses.append(_long(names, field))
        for name in names:
            del properties[name]
    if len(properties) > most:
        losses.append(_many(len(properties), most, field))
        for name in list(properties)[most:]:
            del properties[name]


def bounded_names(names: Sequence[str], field: str, most: int, losses: list[Loss]) -> Sequence[str]:
    """Leave out names of properties likewise."""
    long = [name for name in names if len(name) > MAX_PROPERTY_NAME_CHARS]
    if long:
        losses.append(_long(long, field))
        names = [name for name in names if len(name) <= MAX_PROPERTY_NAME_CHARS]
    if len(names) > most:
        losses.append(_many(len(names), most, field))
    return names[:most]


def drop_deep(holders: Mapping[str, Properties], depth: int) -> Sequence[Loss]:
    """
    Remove properties that are nested too deep.

    Args:
        holders: Objects with properties, by what they are called in messages; one within another
            is looked at by itself.
    """
    inner = [id(holder) for holder in holders.values()]
    losses: list[Loss] = []
    for field, properties in holders.items():
        deep = [
            name
            for name, value in properties.items()
            if type(value) in _NESTING and id(value) not in inner and is_deeper(value, depth)
        ]
        if deep:
            losses.append(too_deep(deep, field, depth))
        for name in deep:
            del properties[name]
    return losses


def too_deep(names: Sequence[str], field: str, depth: int) -> Loss:
    """Describe properties that are nested too deep."""
    expected = f"at most {depth} levels of nesting"
    return Loss(WarningKind.PROPERTY_TOO_DEEP, f"{field}.{named(names[0])}", expected, "more")


def named(name: str) -> str:
    """Cut a property's name to a readable length."""
    return name if len(name) <= _MAX_NAMED_CHARS else name[:_MAX_NAMED_CHARS] + "…"


def _long(names: Sequence[str], field: str) -> Loss:
    longest = max(names, key=len)
    kind = WarningKind.PROPERTY_NAME_TOO_LONG
    return characters(longest, MAX_PROPERTY_NAME_CHARS, kind, f"{field}.{named(longest)}")


def _many(count: int, most: int, field: str) -> Loss:
    kind = WarningKind.TOO_MANY_PROPERTIES
    return Loss(kind, field, f"at most {most} properties", f"{count} properties")

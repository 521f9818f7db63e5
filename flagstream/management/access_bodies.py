"""What is sent of projects and keys, checked."""

from typing import Any

from flagstream.errors import InvalidFieldError
from flagstream.state.access import Scope
from flagstream.wire import unix_ms

from .bodies import NAME, Row, is_name

MAX_OVERLAP_S = 30 * 86_400
DEFAULT_OVERLAP_S = 3_600


def check_members(body: Row, *known: str) -> None:
    """
    Check that nothing else is named.

    Raises:
        InvalidFieldError: Naming the first that is.
    """
    for name, value in body.items():
        if name not in known:
            raise InvalidFieldError(name, "no member of this name", value)


def label_of(body: Row) -> str:
    """
    Read what a key is to be called.

    Raises:
        InvalidFieldError: It has no name, or a wrong one.
    """
    label = body.get("label")
    if not is_name(label):
        raise InvalidFieldError("label", NAME, label)
    return str(label)


def scopes_of(body: Row) -> list[str]:
    """
    Read what a key is to allow, in the order in which scopes are told.

    Raises:
        InvalidFieldError: There is none, or one that is not known.
    """
    given: Any = body.get("scopes")
    expected = f"a list of some of {', '.join(Scope)}"
    if not isinstance(given, list) or not given:
        raise InvalidFieldError("scopes", expected, given)
    for number, scope in enumerate(given):
        if scope not in list(Scope):
            raise InvalidFieldError(f"scopes.{number}", f"one of {', '.join(Scope)}", scope)
    return [scope.value for scope in Scope if scope in given]


def expires_at_ms_of(body: Row, now_ms: int) -> int | None:
    """
    Read when a key is to end; None for never.

    Raises:
        InvalidFieldError: It is no time, or one that has passed.
    """
    given = body.get("expires_at")
    if given is None:
        return None
    time_ms = unix_ms(given)
    if time_ms is None or time_ms <= now_ms:
        raise InvalidFieldError("expires_at", "a time in the future as ISO 8601 has it", given)
    return time_ms


def overlap_ms_of(body: Row) -> int:
    """
    Read for how long the old one is still taken.

    Raises:
        InvalidFieldError: It is no number of seconds, or too many.
    """
    given = body.get("overlap_s", DEFAULT_OVERLAP_S)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 <= given <= MAX_OVERLAP_S:
        raise InvalidFieldError("overlap_s", f"seconds from 0 to {MAX_OVERLAP_S}", given)
    return int(given * 1_000)

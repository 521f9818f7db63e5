"""Settings of a project as they are sent."""

from collections.abc import Callable, Mapping
from typing import Any

from flagstream.errors import InvalidFieldError, InvalidRequestError
from flagstream.flags.project import time_zone

from .bodies import NAME, is_name

_BUCKETINGS = ("murmur3", "sha1")
_MATCHING_VERSIONS = (1, 2)
_MAX_PER_S = 1_000_000_000
_RATE = f"a number from 0 (no limit) to {_MAX_PER_S}, or null for the server's"


def checked_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Check the settings that *body* names.

    Raises:
        InvalidRequestError: Naming the first that is wrong, with what was expected.
    """
    for name, value in body.items():
        if name not in _EXPECTED:
            raise InvalidRequestError(f"{name}: there is no such setting", attr=name)
        expected, accepts = _EXPECTED[name]
        if not accepts(value):
            raise InvalidFieldError(name, expected, value)
    return dict(body)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_time_zone(value: Any) -> bool:
    return isinstance(value, str) and time_zone(value) is not None


def _is_rate(value: Any) -> bool:
    """Tell whether this is a rate, or says that the server's is to hold."""
    if value is None:
        return True
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= _MAX_PER_S


def _is_rate_of_the_api(value: Any) -> bool:
    """Tell whether this is a rate by which it can still be changed."""
    return _is_rate(value) and (not value or value >= 1)


def _is_matching_version(value: Any) -> bool:
    return type(value) is int and value in _MATCHING_VERSIONS


_EXPECTED: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name": (NAME, is_name),
    "bucketing": (f"one of {', '.join(_BUCKETINGS)}", _BUCKETINGS.__contains__),
    "remember_active_groups": ("true or false", _is_bool),
    "timezone": ("the name of a time zone, such as Europe/Berlin", _is_time_zone),
    "property_matching_version": ("1 or 2", _is_matching_version),
    "is_quota_limited": ("true or false", _is_bool),
    "max_events_per_s": (_RATE, _is_rate),
    "max_flag_requests_per_s": (_RATE, _is_rate),
    "max_api_requests_per_s": (f"at least 1, or {_RATE}", _is_rate_of_the_api),
    "max_definition_requests_per_s": (_RATE, _is_rate),
}

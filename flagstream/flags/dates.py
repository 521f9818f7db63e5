"""Dates in filters and properties, read as PostHog's server does."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from dateutil import parser
from dateutil.relativedelta import relativedelta

from .values import number

DATE_OPERATORS = frozenset({"is_date_before", "is_date_after", "is_date_exact"})
Moment = Callable[[int], int | None]
"""From the present, in Unix milliseconds, to a time in microseconds; None where there is none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Of the other spellings that the standard library reads, none is the project's wall clock.
_WALL_CLOCK = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)
_RELATIVE = re.compile(r"-?(?P<count>[0-9]{1,19})(?P<unit>[hdwmy])")
_MAX_COUNT = 10_000
_MAX_CHARS = 64
_MAX_SECONDS = 1e12  # some 30,000 years; far beyond, floats end
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
# Two days that share neither year, month nor day show what a text leaves open.
_DEFAULTS = (datetime(2000, 1, 1), datetime(2001, 2, 2))  # noqa: DTZ001 -- places in a text


def compile_date(operator: str, wanted: Any, timezone: tzinfo) -> Callable[[Any, int], bool] | None:
    """
    Compile a filter on a date.

    Args:
        timezone: The project's, in which dates without an offset are read.

    Returns:
        A test of a value at a present, in Unix milliseconds; None where nothing can match.
    """
    moment = _moment(wanted, timezone) if isinstance(wanted, str) else None
    if moment is None:
        return None

    def matches(value: Any, now_ms: int) -> bool:
        given, bound = read_moment(value, timezone, now_ms), moment(now_ms)
        return given is not None and bound is not None and _COMPARISONS[operator](given, bound)

    return matches


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "is_date_before": int.__lt__,
    "is_date_after": int.__gt__,
    "is_date_exact": int.__eq__,
}


def read_moment(value: Any, timezone: tzinfo, now_ms: int) -> int | None:
    """Read a property: a number, or the text of one, is in Unix seconds."""
    seconds = number(value)
    if seconds is not None:
        return round(seconds * 1_000_000) if abs(seconds) < _MAX_SECONDS else None
    moment = _moment(value, timezone) if isinstance(value, str) else None
    return None if moment is None else moment(now_ms)


@lru_cache(maxsize=4096)
def _moment(text: str, timezone: tzinfo) -> Moment | None:
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        count, unit = int(relative["count"]), relative["unit"]
        return None if count >= _MAX_COUNT else lambda now_ms: _ago(count, unit, timezone, now_ms)
    fixed = _fixed(text, timezone)
    return None if fixed is None else lambda _: fixed


@lru_cache(maxsize=1024)
def _ago(count: int, unit: str, timezone: tzinfo, now_ms: int) -> int | None:
    """Go back on the wall clock of the project's time zone."""
    try:
        now = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(timezone).replace(tzinfo=None)
        if unit in _UNITS:
            return _instant(now - timedelta(**{_UNITS[unit]: count}), timezone)
        day = _back(now.date(), count, unit)
        return _instant(datetime.combine(day, now.time()), timezone)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _back(day: date, count: int, unit: str) -> date:
    """Go back one step after the other: from 31 March over 28 February to 28 January."""
    step, clamps = (relativedelta(months=1), 48) if unit == "m" else (relativedelta(years=1), 1)
    for _ in range(min(count, clamps)):
        day -= step
    # From here on every month has the day, so that one leap does as well.
    return day - step * max(count - clamps, 0)


def _fixed(text: str, timezone: tzinfo) -> int | None:
    if len(text) > _MAX_CHARS:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None or _WALL_CLOCK.fullmatch(text):
            return _instant(moment, timezone)
    except (OverflowError, ValueError):
        pass
    return _best_effort(text)


def _best_effort(text: str) -> int | None:
    """Read other spellings, without an offset in UTC; None where the day is not complete."""
    try:
        first, second = (
            parser.parse(text, default=default, tzinfos=_unknown_zone) for default in _DEFAULTS
        )
        return _instant(first, UTC) if first == second else None
    except (OverflowError, ValueError, TypeError):
        return None


def _unknown_zone(name: str | None, offset_s: int | None) -> int | None:
    if name is not None and offset_s is None:
        raise ValueError(name)
    return offset_s


def _instant(moment: datetime, timezone: tzinfo) -> int | None:
    """Give microseconds; None for what the wall clock skips, the first of what it shows twice."""
    if moment.tzinfo is None:
        local = moment.replace(tzinfo=timezone)
        if local.astimezone(UTC).astimezone(timezone).replace(tzinfo=None) != moment:
            return None
        moment = local
    return (moment - _EPOCH) // _MICROSECOND

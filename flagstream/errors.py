"""
Every error that flagstream raises on purpose.

::

    FlagstreamError
    ├── SettingsError             a setting is wrong; the start stops
    ├── RecordError               a record of the log cannot be folded; it becomes a dead letter
    ├── LogError                  the log cannot be used
    │   ├── LogLockedError        another process holds the directory
    │   ├── LogFormatError        the directory was written by a newer flagstream
    │   ├── LogLayoutError        the topics are not those that the states follow from
    │   └── LogUnavailableError   the log takes no writes now: disk full, broker down (503)
    ├── BackupError               a backup cannot be made, or must not be restored
    ├── ViewError                 the views on disk take no writes; they catch up once there is room
    └── RequestError              a client has to change something, or to come back later
        ├── InvalidRequestError   400
        │   ├── InvalidFieldError
        │   │   └── InvalidEventError
        │   └── InvalidDefinitionError
        ├── UnauthenticatedError  401
        ├── QuotaExceededError    402
        ├── ForbiddenError        403
        ├── NotFoundError         404
        ├── MethodNotAllowedError 405
        ├── SlowRequestError      408
        ├── ConflictError         409
        ├── BodyTooLargeError     413
        ├── OverloadedError       429
        │   └── RateLimitError
        └── UnavailableError      503
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

_QUOTED_CHARS = 80


def quote(got: object) -> str:
    """Render a refused value for an error message, cut to a readable length."""
    try:
        text = "".join(_rendered(got, _QUOTED_CHARS + 1))
    except (RecursionError, ValueError):  # an integer of many digits
        text = f"a value of type {type(got).__name__}"
    return text if len(text) <= _QUOTED_CHARS else text[:_QUOTED_CHARS] + "…"


def _rendered(got: Any, room: int) -> Iterator[str]:
    """Yield the beginning of a value's ``repr``, which of all of it could take seconds."""
    kind = cast("object", type(got))
    if kind is str or kind is bytes:
        # Escapes only make it longer.
        yield repr(got[:room])
    elif kind is list:
        yield "["
        yield from _listed(([each] for each in got), room - 1)
        yield "]"
    elif kind is dict:
        yield "{"
        yield from _listed(got.items(), room - 1)
        yield "}"
    else:
        yield repr(got)


def _listed(entries: Iterable[Sequence[object]], room: int) -> Iterator[str]:
    separator = ""
    for entry in entries:
        text = ": ".join("".join(_rendered(each, room)) for each in entry)
        yield separator + text
        room -= len(separator) + len(text)
        separator = ", "
        if room <= 0:
            return


class FlagstreamError(Exception):
    """Base of all errors that flagstream raises on purpose."""


class SettingsError(FlagstreamError):
    """A setting is unknown or has a value that it cannot have; correct it and start again."""


class RecordError(FlagstreamError):
    """A record of the log cannot be folded; its reason goes along to the dead letters."""


class LogError(FlagstreamError):
    """The log cannot be used."""


class LogLockedError(LogError):
    """Another process holds the log's directory; stop that process or name another directory."""


class LogFormatError(LogError):
    """The log's directory was written by a newer flagstream; start that version."""


class LogLayoutError(LogError):
    """The topics are not those that the states follow from; ``topics migrate`` repairs that."""


class LogUnavailableError(LogError):
    """The log takes no writes at the moment; nothing of the request was acknowledged."""


class BackupError(FlagstreamError):
    """A backup cannot be made where it was asked for, or is not what was made; it says why."""


class ViewError(FlagstreamError):
    """The views on disk cannot be opened or written; nothing is lost, they follow from the log."""


class RequestError(FlagstreamError):
    """
    A request that is answered with an error.

    Attributes:
        status: HTTP status.
        type: PostHog's error family, first member of the answer.
        code: Machine-readable reason, a contract: add, never reword.
        attr: The offending field, dotted, or None.
        retry_after_s: Whole seconds for ``Retry-After``, or None.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "validation_error"
    code: str = "invalid_input"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        attr: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.attr = attr
        self.retry_after_s = retry_after_s


class InvalidRequestError(RequestError):
    """The request is malformed; the sender has to change it."""


class InvalidFieldError(InvalidRequestError):
    """A member of what was sent is wrong; the sender has to change it."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(f"{field}: expected {expected}, got {quote(got)}", attr=field)
        self.expected = expected
        self.got = got


class InvalidEventError(InvalidFieldError):
    """One captured event is malformed; the sender has to fix it."""

    code = "invalid_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """
    One thing that is wrong with a definition.

    Attributes:
        path: JSON path, ``$.filters.groups[0].rollout_percentage``.
        expected: What would have been accepted.
        got: The refused value.
    """

    path: str
    expected: str
    got: Any

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {quote(self.got)}"


class InvalidDefinitionError(InvalidRequestError):
    """A flag definition is malformed; all its problems are named at once."""

    code = "invalid_definition"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)), attr=problems[0].path)
        self.problems = tuple(problems)


class UnauthenticatedError(RequestError):
    """The token or key is missing, unknown or of another project."""

    status = 401
    type = "authentication_error"
    code = "authentication_failed"


class QuotaExceededError(RequestError):
    """The project is over its quota; whoever runs the server lifts the limit."""

    status = 402
    type = "quota_limited"
    code = "payment_required"


class ForbiddenError(RequestError):
    """The key is good, and lacks the scope, or is of another project than the token."""

    status = 403
    type = "authentication_error"
    code = "permission_denied"


class NotFoundError(RequestError):
    """There is nothing at this address."""

    status = 404
    type = "invalid_request"
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """The address exists, the method does not."""

    status = 405
    type = "invalid_request"
    code = "method_not_allowed"


class SlowRequestError(RequestError):
    """The request did not arrive in time; the connection is closed."""

    status = 408
    type = "invalid_request"
    code = "request_timeout"


class ConflictError(RequestError):
    """The thing was changed by somebody else meanwhile, or is used by others; read it again."""

    status = 409
    code = "conflict"


class BodyTooLargeError(RequestError):
    """The body is larger than allowed, as sent or once inflated; send less at a time."""

    status = 413
    code = "request_too_large"


class OverloadedError(RequestError):
    """
    More is coming in than is folded, or unknown keys are tried; the client comes back after
    ``Retry-After``.
    """

    status = 429
    type = "validation_error"
    code = "rate_limit_exceeded"


class RateLimitError(OverloadedError):
    """The project sends or asks for more than its limit; ``attr`` names the setting."""


class UnavailableError(RequestError):
    """The server cannot answer now: starting, stopping, or its log takes no writes."""

    status = 503
    type = "server_error"
    code = "unavailable"

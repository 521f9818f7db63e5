"""OpenFeature's remote evaluation protocol, as its own description has it."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from flagstream.errors import (
    BodyTooLargeError,
    ForbiddenError,
    QuotaExceededError,
    RateLimitError,
    UnauthenticatedError,
)
from flagstream.openapi import Answer, Body

from .common import Properties

_Reason = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]
_Metadata = dict[str, bool | str | float]


class Context(Struct, kw_only=True):
    """
    Who asks; whatever else it holds is properties of the person.

    Attributes:
        targetingKey: The distinct id.
        groups: Key by type.
        group_properties: By type; go before the stored ones.
    """

    targeting_key: str = field(name="targetingKey")
    groups: Properties | UnsetType | None = UNSET
    group_properties: dict[str, Properties] | UnsetType | None = UNSET


class Asked(Struct):
    """Whose flags are asked for."""

    context: Context


class FlagEvaluation(Struct, kw_only=True):
    """
    A flag, evaluated; or why it could not be, with `errorCode` instead of `reason` and `variant`.

    Attributes:
        value: Missing where the default in the application's code is to be taken.
        variant: `on` or `off` of flags without variants, and where none was drawn.
    """

    key: str
    value: bool | str | float | dict[str, Any] | UnsetType = UNSET
    reason: _Reason | UnsetType = UNSET
    variant: str | UnsetType = UNSET
    error_code: Literal["PARSE_ERROR", "GENERAL"] | UnsetType = field(
        default=UNSET, name="errorCode"
    )
    error_details: str | UnsetType = field(default=UNSET, name="errorDetails")
    metadata: _Metadata


class Endpoint(Struct):
    """
    Where a stream is.

    Attributes:
        requestUri: Path and query, at the address that the client knows the server by.
    """

    request_uri: str = field(name="requestUri")


class EventStream(Struct, kw_only=True):
    """
    Where changes are told.

    Attributes:
        url: With `public_url` set; else `endpoint`.
        inactivityDelaySec: After which a page that nobody looks at ends it.
    """

    type: Literal["sse"]
    url: str | UnsetType = UNSET
    endpoint: Endpoint | UnsetType = UNSET
    inactivity_delay_s: Annotated[int, Meta(ge=1)] = field(name="inactivityDelaySec")


class FlagEvaluations(Struct, kw_only=True):
    """
    All flags of somebody.

    Attributes:
        eventStreams: Where changes of them are told; not of contexts of more than 2 KiB.
    """

    flags: list[FlagEvaluation]
    event_streams: list[EventStream] | UnsetType = field(default=UNSET, name="eventStreams")


class EvaluationRefusal(Struct, kw_only=True):
    """
    Why nothing was evaluated.

    Attributes:
        key: Of the flag, where one was asked for.
    """

    key: str | UnsetType = UNSET
    error_code: Literal[
        "FLAG_NOT_FOUND", "GENERAL", "INVALID_CONTEXT", "PARSE_ERROR", "TARGETING_KEY_MISSING"
    ] = field(name="errorCode")
    error_details: str = field(name="errorDetails")
    metadata: _Metadata | UnsetType = UNSET


ASKED = Body(
    Asked,
    example={"context": {"targetingKey": "user-1", "groups": {"organization": "acme"}}},
)
REFUSALS = (
    Answer(EvaluationRefusal, status=400, text="The request is wrong, or the flag's definition."),
    *(
        Answer(EvaluationRefusal, status=int(each.status), text=(each.__doc__ or "").strip())
        for each in (
            UnauthenticatedError,
            QuotaExceededError,
            ForbiddenError,
            BodyTooLargeError,
            RateLimitError,
        )
    ),
)

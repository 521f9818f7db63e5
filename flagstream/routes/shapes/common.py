"""What many operations have in common: pages of lists, ids, times and parameters."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from flagstream.openapi import Answer, Parameter
from flagstream.state.group_types import MAX_TYPES

T = TypeVar("T")

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Id = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1, max_length=400)]
Bucketing = Literal["murmur3", "sha1"]
Count = Annotated[int, Meta(ge=0)]
UnixMs = Annotated[int, Meta(description="Unix time in milliseconds.")]
TypeIndex = Annotated[int, Meta(ge=0, lt=MAX_TYPES)]
Properties = dict[str, Any]


class Page(Struct, Generic[T]):
    """A page of a list."""

    count: Annotated[int, Meta(ge=0, description="How many the whole list has.")]
    next: Annotated[str | None, Meta(description="The address of the next page.")]
    previous: Annotated[str | None, Meta(description="The address of the page before.")]
    results: list[T]


class CursorPage(Struct, Generic[T]):
    """
    A page of a list that may be long.

    A page of a search may be short, or empty, and yet not be the last.
    """

    next: Annotated[str | None, Meta(description="The address of the next page.")]
    previous: Annotated[None, Meta(description="Always null.")]
    results: list[T]


PATH_PARAMETERS = {
    each.name: each
    for each in (
        Parameter(
            name="project",
            shape=str,
            text=(
                "The project's number, or `@current`: the project of the key, for the operator's "
                "the first."
            ),
            place="path",
            example="@current",
        ),
        Parameter(name="id", shape=Id, text="The id.", place="path"),
        Parameter(
            name="token", shape=str, text="The project's public token (`phc_…`).", place="path"
        ),
        Parameter(name="key", shape=str, text="The flag's key.", place="path"),
        Parameter(name="key_id", shape=str, text="The secret key's id.", place="path"),
        Parameter(name="flag", shape=str, text="The flag's id or key.", place="path"),
        Parameter(name="schedule", shape=str, text="The schedule's id.", place="path"),
        Parameter(name="name", shape=str, text="The file's name.", place="path"),
        Parameter(name="version", shape=str, text="Of posthog-js; any.", place="path"),
        Parameter(name="distinct_id", shape=str, text="Any of the person's ids.", place="path"),
    )
}
"""What stands in paths, where handlers say nothing else of it."""

PAGING = (
    Parameter(
        name="limit",
        shape=Annotated[int, Meta(ge=1, le=1_000)],
        text="How many a page has at most; 100 where it is not given.",
    ),
    Parameter(
        name="offset",
        shape=Annotated[int, Meta(ge=0, le=10**9)],
        text="How many of the list are left out in front.",
    ),
)
CURSOR = Parameter(name="cursor", shape=str, text="Where a page begins, as `next` says.")
TOKEN = Parameter(name="token", shape=str, text="The project's public token (`phc_…`).")
SEARCH = Parameter(name="search", shape=str, text="A part of it, in any case.")


def answers_of_file(media: str) -> Sequence[Answer]:
    """Say how a file is answered, whose requests may be conditional or for a part of it."""
    return (
        Answer(str, media=media),
        Answer(str, status=206, media=media),
        *(Answer(None, status=status) for status in (304, 412, 416)),
    )

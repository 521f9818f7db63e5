"""What an operation says of itself: static, and kept beside its handler."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeVar

from flagstream.errors import RequestError
from flagstream.state.access import Scope

JSON = "application/json"
Handler = TypeVar("Handler", bound=Callable[..., Any])
Refusals = Sequence[type[RequestError]]


class Access(Enum):
    """What a request authenticates itself with, where that is no secret key with a scope."""

    NOTHING = "nothing"
    PUBLIC_TOKEN = "public token"  # noqa: S105 -- no token
    """In the body, or in the query."""
    BEARER_TOKEN = "bearer token"  # noqa: S105 -- likewise
    """The public token, as a header."""
    SECRET_KEY = "secret key"  # noqa: S105 -- no key
    TOKEN_OR_KEY = "token or key"  # noqa: S105 -- likewise
    """The public token or a secret key, as a header."""
    """Of the project, whatever its scopes."""
    OPERATOR = "operator"
    """The operator's key."""


def needs_key(access: Access | Scope) -> bool:
    """Tell whether a request authenticates itself with a secret key."""
    return access in (*Scope, Access.SECRET_KEY, Access.OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """
    A parameter of the query, of the path or of the header.

    Attributes:
        shape: Its type; what is more than ``str`` can be refused.
        example: None for none.
    """

    name: str
    shape: Any
    text: str
    is_required: bool = False
    place: Literal["query", "path", "header"] = "query"
    example: Any = None


@dataclass(frozen=True, slots=True)
class Body:
    """
    What a request carries; of methods that carry nothing it is left out.

    Attributes:
        shape: Its type.
        others: By media type, the types of what is taken as well.
        example: None for none.
    """

    shape: Any
    media: str = JSON
    others: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An answer that is no refusal.

    Attributes:
        shape: The type of what it carries; None where it carries nothing.
        text: When it comes; "" where its status says so.
        headers: By name what they say.
    """

    shape: Any
    status: int = 200
    media: str = JSON
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    What is said of a handler.

    Attributes:
        summary: In one line, of plain text.
        text: The rest of it, in Markdown; "" for nothing.
        refusals: Besides those that follow from the rest: bodies, parameters and access.
    """

    summary: str
    text: str
    answers: Sequence[Answer]
    access: Access | Scope
    parameters: Sequence[Parameter]
    body: Body | None
    refusals: Refusals

    @property
    def needed(self) -> str | None:
        """What the secret key needs, in a word; None where none is asked for."""
        return _NEEDED.get(self.access) if isinstance(self.access, Access) else self.access.value


_NEEDED = {Access.SECRET_KEY: "any", Access.OPERATOR: "operator"}
_OPERATIONS: dict[Callable[..., Any], Operation] = {}


def described(
    *answers: Answer,
    access: Access | Scope,
    parameters: Sequence[Parameter] = (),
    body: Body | None = None,
    refusals: Refusals = (),
) -> Callable[[Handler], Handler]:
    """
    Say what a handler takes and answers; its docstring says what it is for.

    The handler stays as it is: nothing is added to what a request costs. *access* alone is acted
    upon: wherever the handler is served, it is asked by nobody else.

    Args:
        access: Of secret keys the scope that they need.
    """

    def describe(handler: Handler) -> Handler:
        summary, _, text = markdown(handler.__doc__ or "").partition("\n")
        _OPERATIONS[handler] = Operation(
            summary=summary.replace("`", ""),
            text=text.strip(),
            answers=answers,
            access=access,
            parameters=parameters,
            body=body,
            refusals=refusals,
        )
        return handler

    return describe


def operation_of(handler: Callable[..., Any]) -> Operation:
    """
    Read what a handler, or the one that it is wrapped around, says of itself.

    Raises:
        LookupError: It says nothing.
    """
    told = inspect.unwrap(handler, stop=lambda each: each in _OPERATIONS)
    if (operation := _OPERATIONS.get(told)) is None:
        raise LookupError(f"{handler.__module__}.{handler.__qualname__}: expected @described")
    return operation


def markdown(docstring: str) -> str:
    """Write a docstring as people read it elsewhere."""
    return inspect.cleandoc(docstring).replace("``", "`")

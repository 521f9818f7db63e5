"""The query language of GO Feature Flag's rules, which is that of github.com/nikunjy/rules."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from . import formulas
from .formulas import AllOf, AnyOf, Filter, Formula, negated
from .versions import compared

# `and` and `or` bind alike, from left to right; a list holds one kind of values.
_GRAMMAR = r"""
    ?start: query
    ?query: term
        | query "and"i term                   -> both
        | query "or"i term                    -> either
    ?term: "(" query ")"
        | "not"i "(" query ")"                -> opposite
        | path "pr"                           -> present
        | path OPERATOR value                 -> comparison
        | path IN "[" [value ("," value)*] "]" -> membership
    path: NAME ("." NAME)*
    ?value: VERSION                           -> version
        | DOUBLE                              -> double
        | LONG                                -> long
        | STRING                              -> text
        | "true"                              -> true
        | "false"                             -> false
        | "null"                              -> null
    OPERATOR.2: /(?:(?:eq|EQ|ne|NE|gt|GT|lt|LT|ge|GE|le|LE)(?![\w:-])|[!=><]=|[><])/
        | /(?:co|CO|sw|SW|ew|EW)(?![\w:-])/
    IN.2: /(?:in|IN)(?![\w:-])/
    NAME: /[A-Za-z][A-Za-z0-9_:-]*/
    VERSION.4: /[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?/
    DOUBLE.3: /-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[Ee][+-]?[0-9]+)?/
    LONG.2: /-?(?:0|[1-9][0-9]*)(?![0-9.])/
    STRING: /"(?:\\.|[^"\\])*"/
    %import common.WS
    %ignore WS
"""
_SYMBOLS = {"==": "eq", "!=": "ne", ">": "gt", "<": "lt", ">=": "ge", "<=": "le"}
_BOUNDS = {"gt": "gt", "ge": "gte", "lt": "lt", "le": "lte"}
_VERSIONS = {"eq": "=", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TEXTS: Mapping[str, Callable[[str, str], Filter]] = {
    "eq": formulas.equal_in_any_case,
    "co": formulas.contains_in_any_case,
    "sw": formulas.begins_in_any_case,
    "ew": formulas.ends_in_any_case,
}
_ANONYMOUS = "anonymous"


class QueryError(ValueError):
    """A query cannot be read or translated; the message says what, and why."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why


class _Version(str):
    __slots__ = ()


def read_query(query: str, key_property: str) -> Formula:
    """
    Read a query.

    Args:
        key_property: What the targeting key is here: ``distinct_id`` or ``$group_key``.

    Raises:
        QueryError: It is none, or asks what no filter can.
    """
    try:
        found: Formula = _Reader(key_property).transform(_parser().parse(query))
    except UnexpectedInput as error:
        place = error.get_context(query, span=10).partition("\n")[0].strip()
        raise QueryError(place, "it is no query from here on") from None
    except VisitError as error:
        if isinstance(error.orig_exc, QueryError):
            raise error.orig_exc from None
        raise
    return found


@cache
def _parser() -> Lark:
    """Make the parser; that takes longer than most commands."""
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)


@v_args(inline=True)
class _Reader(Transformer[Token, Any]):
    """Makes a formula of a query; who lacks the attribute satisfies no comparison but with null."""

    def __init__(self, key_property: str) -> None:
        super().__init__()
        self._keys = {"key": key_property, "targetingKey": key_property}

    def path(self, name: Token, *parts: Token) -> str:
        if parts:
            raise QueryError(".".join((name, *parts)), "properties have no parts")
        return self._keys.get(name, str(name))

    def both(self, one: Formula, other: Formula) -> Formula:
        return AllOf((one, other))

    def either(self, one: Formula, other: Formula) -> Formula:
        return AnyOf((one, other))

    def opposite(self, query: Formula) -> Formula:
        return negated(query)

    def present(self, key: str) -> Formula:
        return Filter(key, "is_set")

    def version(self, token: Token) -> _Version:
        return _Version(token)

    def double(self, token: Token) -> float:
        return float(token)

    def long(self, token: Token) -> int:
        return int(token)

    def text(self, token: Token) -> str:
        # As the evaluator reads it: without the quotes, and with its backslashes.
        return token[1:-1]

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False

    def null(self) -> None:
        return None

    def comparison(self, key: str, operator: Token, value: Any) -> Formula:
        name = _SYMBOLS.get(operator, operator.lower())
        found = _compared(key, name, value)
        if found is None:
            raise QueryError(f"{operator} {value!r}", "flagstream compares no such values so")
        return found

    def membership(self, key: str, _: Token, *values: Any) -> Formula:
        kinds = {type(value) for value in values}
        if len(kinds) > 1 or not kinds <= {str, int, float}:
            raise QueryError(f"in {list(values)!r}", "a list holds texts or numbers")
        if kinds == {str}:
            return formulas.equal_in_any_case(key, *values)
        return AnyOf(tuple(formulas.equal_number(key, value) for value in values))


def _compared(key: str, operator: str, value: Any) -> Formula | None:
    """Compare; None where values of this kind are not compared so."""
    if value is None:
        found = Filter(key, "is_not_set" if operator == "eq" else "is_set")
        return found if operator in ("eq", "ne") else None
    if isinstance(value, bool):
        return _of_truth(key, operator, value=value)
    if isinstance(value, _Version):
        return compared(key, _VERSIONS[operator], value) if operator in _VERSIONS else None
    if isinstance(value, str):
        return _of_text(key, operator, value)
    return _of_number(key, operator, value)


def _of_truth(key: str, operator: str, *, value: bool) -> Formula | None:
    if operator not in ("eq", "ne"):
        return None
    wanted = value if operator == "eq" else not value
    found = Filter(key, "regex", f"^{str(wanted).lower()}$")
    # The evaluator knows of everybody whether they are anonymous.
    is_known = key == _ANONYMOUS and not wanted
    return AnyOf((found, Filter(key, "is_not_set"))) if is_known else found


def _of_text(key: str, operator: str, text: str) -> Formula | None:
    if operator == "ne":
        return AllOf((Filter(key, "is_set"), negated(_TEXTS["eq"](key, text))))
    make = _TEXTS.get(operator)
    return None if make is None else make(key, text)


def _of_number(key: str, operator: str, number: float) -> Formula | None:
    if operator == "eq":
        return formulas.equal_number(key, number)
    if operator == "ne":
        return AllOf((Filter(key, "is_set"), Filter(key, "not_between", (number, number))))
    return Filter(key, _BOUNDS[operator], number) if operator in _BOUNDS else None


def texts_in_lists(query: str) -> Sequence[str]:
    """List the texts of which a query wants one by ``in``, where their case may matter."""
    found = [
        str(token)
        for tree in _parser().parse(query).find_data("membership")
        for token in tree.scan_values(
            lambda each: isinstance(each, Token) and each.type == "STRING"
        )
    ]
    return [text for text in found if text.lower() != text.upper()]

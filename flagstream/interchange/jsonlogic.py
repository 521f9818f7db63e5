"""Rules of flagd, which are JSONLogic with operators of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from flagstream.errors import quote
from flagstream.flags.walk import Path

from . import formulas
from .branches import Branch, Outcome, Variant, split
from .formulas import FALSE, TRUE, AllOf, AnyOf, Filter, Formula, negated
from .outcome import SKIP, Refusals
from .versions import MIRRORED, compared

_KEY, _FLAG_KEY = "targetingKey", "$flagd.flagKey"
_OTHERWISE = f"write the rule without it, or {SKIP}"
_CHOICES = ("if", "?:")
_EQUALITY = ("==", "===", "!=", "!==")
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_TEXTS: Mapping[str, Callable[[str, str], Filter]] = {
    "starts_with": formulas.begins_with,
    "ends_with": formulas.ends_with,
}
# What they answer for who lacks the attribute is not false but nothing: the default variant.
_UNDECIDED = (*_TEXTS, "sem_ver")


class _UnsupportedError(Exception):
    """Something was refused, and whatever it is part of has no meaning."""


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute, and what counts where it is missing; None for nothing."""

    name: str
    default: Any = None


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any


_Operand: TypeAlias = _Attribute | _Constant


class JsonLogic:
    """
    Reads the rules of one flag.

    Args:
        key_property: What the targeting key is here: ``distinct_id`` or ``$group_key``.
        default: The variant of who gets none by a rule; None where there is none.
        keys: What the targeting key is called.
    """

    def __init__(
        self,
        refusals: Refusals,
        *,
        key_property: str,
        flag_key: str = "",
        default: str | None = None,
        keys: Sequence[str] = (_KEY,),
    ) -> None:
        self._refusals = refusals
        self._flag_key = flag_key
        self._key_property = key_property
        self._default = default
        self._keys = keys
        self._readers: Mapping[str, Callable[[str, Sequence[Any], Path], Formula]] = {
            **dict.fromkeys(_CHOICES, self._choice),
            **dict.fromkeys(("and", "or"), self._joined),
            **dict.fromkeys(("!", "!!"), self._truth),
            **dict.fromkeys(_EQUALITY, self._equality),
            **dict.fromkeys(_BOUNDS, self._bounds),
            **dict.fromkeys(_TEXTS, self._text),
            "in": self._membership,
            "sem_ver": self._version,
            "var": self._attribute_truth,
        }

    def branches(self, node: Any, path: Path) -> Sequence[Branch]:
        """Read what a rule chooses; the last branch is for whoever is left."""
        found: list[Branch] = []
        with suppress(_UnsupportedError):
            for branch in self._branches(node, path):
                found.append(branch)
                if branch.guard == TRUE:
                    break
        return found

    def _branches(self, node: Any, path: Path) -> Iterator[Branch]:
        operator, arguments = operation(node)
        if operator is None:
            yield from self._chosen(node, path)
        elif operator in _CHOICES:
            yield from self._choices(arguments, (*path, operator))
        elif operator == "fractional":
            yield Branch(path, TRUE, self._split(arguments, (*path, operator)))
        elif operator == "var":
            raise self._refuse((*path, "var"), quote(node), "an attribute cannot name a variant")
        else:
            yield from self._decided(node, path)

    def _chosen(self, node: Any, path: Path) -> Iterator[Branch]:
        name = self._default if node is None else node
        if name is None:
            why = "without a default the caller's own value counts, which no flag knows"
            raise self._refuse(path, "no variant", why, "name a defaultVariant")
        yield Branch(
            path, TRUE, Variant(str(name).lower() if isinstance(name, bool) else str(name))
        )

    def _choices(self, arguments: Sequence[Any], path: Path) -> Iterator[Branch]:
        for at in range(0, len(arguments) - 1, 2):
            guard = self.formula(arguments[at], (*path, at))
            for branch in self.branches(arguments[at + 1], (*path, at + 1)):
                yield Branch(branch.path, _both(guard, branch.guard), branch.outcome)
        rest = arguments[-1] if len(arguments) % 2 else None
        yield from self._branches(rest, (*path, len(arguments) - 1))

    def _decided(self, node: Any, path: Path) -> Iterator[Branch]:
        """Read a rule that is no choice: its variants are called true and false."""
        if self._default != "false" and any(name in _UNDECIDED for name in _operators(node)):
            why = "for who lacks the attribute it chooses neither, but the default variant"
            raise self._refuse(path, quote(node), why, 'choose by {"if": [rule, "…", "…"]}')
        yield Branch(path, self.formula(node, path), Variant("true"))
        yield Branch(path, TRUE, Variant("false"))

    def _split(self, arguments: Sequence[Any], path: Path) -> Outcome:
        first = 1 if arguments and not isinstance(arguments[0], list) else 0
        if first and not _is_usual(arguments[0]):
            why = "flags are bucketed by the targeting key"
            raise self._refuse((*path, 0), quote(arguments[0]), why)
        weights: list[tuple[str, float]] = []
        for at, each in enumerate(arguments[first:], first):
            name, weight = _fraction(each)
            if name is None or weight is None:
                why = "it is no variant with a whole number"
                raise self._refuse((*path, at), quote(each), why)
            weights.append((name, max(weight, 0)))
        if not sum(weight for _, weight in weights):
            raise self._refuse(path, quote(arguments), "there are no weights")
        return split(weights)

    def formula(self, node: Any, path: Path) -> Formula:
        """Read what holds or does not; what was refused does not."""
        try:
            return self._read(node, path)
        except _UnsupportedError:
            return FALSE

    def _read(self, node: Any, path: Path) -> Formula:
        operator, arguments = operation(node)
        if operator is None:
            if isinstance(node, list):
                raise self._refuse(path, quote(node), "a list is neither true nor false")
            return formulas.constant(value=bool(node))
        reader = self._readers.get(operator)
        if reader is None:
            raise self._refuse((*path, operator), operator, "flagstream has no such operator")
        return reader(operator, arguments, (*path, operator))

    def _choice(self, _: str, arguments: Sequence[Any], path: Path) -> Formula:
        found: list[Formula] = []
        before: Formula = TRUE
        for at in range(0, len(arguments) - 1, 2):
            guard = self.formula(arguments[at], (*path, at))
            then = self.formula(arguments[at + 1], (*path, at + 1))
            found.append(AllOf((before, guard, then)))
            before = AllOf((before, negated(guard)))
        if len(arguments) % 2:
            found.append(AllOf((before, self.formula(arguments[-1], (*path, len(arguments) - 1)))))
        return AnyOf(tuple(found))

    def _joined(self, operator: str, arguments: Sequence[Any], path: Path) -> Formula:
        parts = tuple(self.formula(each, (*path, at)) for at, each in enumerate(arguments))
        return AllOf(parts) if operator == "and" else AnyOf(parts)

    def _truth(self, operator: str, arguments: Sequence[Any], path: Path) -> Formula:
        found = self.formula(arguments[0] if arguments else None, (*path, 0))
        return negated(found) if operator == "!" else found

    def _attribute_truth(self, _: str, arguments: Sequence[Any], path: Path) -> Formula:
        operand = self._operand({"var": arguments}, path[:-1])
        if isinstance(operand, _Constant):
            return formulas.constant(value=bool(operand.value))
        return _or_missing(operand, formulas.is_truthy(operand.name), holds=bool(operand.default))

    def _equality(self, operator: str, arguments: Sequence[Any], path: Path) -> Formula:
        (attribute, wanted), _ = self._sides(arguments, path)
        found = self._equal(attribute, wanted, path, is_strict=len(operator) > 2)  # noqa: PLR2004
        return negated(found) if operator.startswith("!") else found

    def _equal(
        self, attribute: _Attribute, wanted: Any, path: Path, *, is_strict: bool = True
    ) -> Formula:
        key, has_default = attribute.name, attribute.default is not None
        if wanted is None:
            return FALSE if has_default else _is_missing(key)
        is_zero = not isinstance(wanted, str | list | dict) and wanted == 0
        if is_zero and not (is_strict or has_default):
            why = "flagd's evaluators differ in whether that holds for who lacks the attribute"
            instead = f'say it: {{"var": ["{key}", …]}}, or compare by === and !=='
            raise self._refuse(path, quote(wanted), why, instead)
        found: Formula
        if isinstance(wanted, bool):
            found = Filter(key, "regex", f"^{str(wanted).lower()}$")
        elif isinstance(wanted, int | float):
            found = formulas.equal_number(key, wanted)
        elif isinstance(wanted, str):
            found = formulas.equal_text(key, [wanted])
        else:
            raise self._refuse(path, quote(wanted), "it is no text, number, true, false or null")
        return _or_missing(attribute, found, holds=attribute.default == wanted)

    def _bounds(self, operator: str, arguments: Sequence[Any], path: Path) -> Formula:
        if len(arguments) == 3:  # noqa: PLR2004 -- as a < b < c
            pairs = (arguments[:2], arguments[1:])
            return AllOf(tuple(self._bounds(operator, pair, path) for pair in pairs))
        (attribute, bound), is_mirrored = self._sides(arguments, path)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise self._refuse(path, quote(bound), "flagstream compares numbers and versions only")
        operator = MIRRORED[operator] if is_mirrored else operator
        # Who lacks the attribute is taken for 0.
        absent = 0 if attribute.default is None else attribute.default
        if isinstance(absent, bool) or not isinstance(absent, int | float):
            raise self._refuse(path, quote(absent), "this default is no number")
        found = Filter(attribute.name, _BOUNDS[operator], bound)
        return _or_missing(attribute, found, holds=_holds(absent, operator, bound))

    def _membership(self, _: str, arguments: Sequence[Any], path: Path) -> Formula:
        needle, haystack = self._operands(arguments, path)
        if isinstance(needle, _Attribute) and isinstance(haystack, _Constant):
            if not isinstance(haystack.value, list):
                raise self._refuse((*path, 1), quote(haystack.value), "it is no list")
            return self._one_of(needle, haystack.value, (*path, 1))
        part = needle.value if isinstance(needle, _Constant) else None
        if not isinstance(part, str) or isinstance(haystack, _Constant):
            raise self._refuse(path, quote(arguments), "it compares no attribute with a constant")
        holds = isinstance(haystack.default, str | list) and part in haystack.default
        return _or_missing(haystack, formulas.contains(haystack.name, part), holds=holds)

    def _one_of(self, attribute: _Attribute, wanted: Sequence[Any], path: Path) -> Formula:
        if wanted and all(isinstance(each, str) for each in wanted):
            found = formulas.equal_text(attribute.name, list(dict.fromkeys(wanted)))
            return _or_missing(attribute, found, holds=attribute.default in wanted)
        return AnyOf(tuple(self._equal(attribute, each, path) for each in wanted))

    def _text(self, operator: str, arguments: Sequence[Any], path: Path) -> Formula:
        attribute, wanted = self._operands(arguments, path)
        text = wanted.value if isinstance(wanted, _Constant) else None
        if not isinstance(attribute, _Attribute) or not isinstance(text, str):
            raise self._refuse(path, quote(arguments), "it compares no attribute with a text")
        found = _TEXTS[operator](attribute.name, text)
        test = str.startswith if operator == "starts_with" else str.endswith
        holds = isinstance(attribute.default, str) and test(attribute.default, text)
        return _or_missing(attribute, found, holds=holds)

    def _version(self, _: str, arguments: Sequence[Any], path: Path) -> Formula:
        if len(arguments) != 3 or not isinstance(arguments[1], str):  # noqa: PLR2004
            why = "it is no attribute, operator and version"
            raise self._refuse(path, quote(arguments), why)
        (attribute, wanted), is_mirrored = self._sides([arguments[0], arguments[2]], path)
        operator = MIRRORED.get(arguments[1], arguments[1]) if is_mirrored else arguments[1]
        found = compared(attribute.name, operator, str(wanted))
        if found is None or attribute.default is not None:
            raise self._refuse(path, quote(arguments), "it compares no version")
        return found

    def _sides(self, arguments: Sequence[Any], path: Path) -> tuple[tuple[_Attribute, Any], bool]:
        """Tell attribute and constant apart, and whether they stand the other way round."""
        one, other = self._operands(arguments, path)
        if isinstance(one, _Attribute) and isinstance(other, _Constant):
            return (one, other.value), False
        if isinstance(one, _Constant) and isinstance(other, _Attribute):
            return (other, one.value), True
        raise self._refuse(path, quote(arguments), "it compares no attribute with a constant")

    def _operands(self, arguments: Sequence[Any], path: Path) -> tuple[_Operand, _Operand]:
        if len(arguments) != 2:  # noqa: PLR2004
            raise self._refuse(path, quote(arguments), "expected two things to be compared")
        one, other = (self._operand(each, (*path, at)) for at, each in enumerate(arguments))
        return one, other

    def _operand(self, node: Any, path: Path) -> _Operand:
        operator, arguments = operation(node)
        if operator is None:
            return _Constant(node)
        if operator != "var" or not arguments or not isinstance(arguments[0], str):
            raise self._refuse((*path, operator), quote(node), "only attributes can be compared")
        name = arguments[0]
        if name == _FLAG_KEY and self._flag_key:
            return _Constant(self._flag_key)
        if name in self._keys:
            return _Attribute(self._key_property)
        if "." in name or not name:
            self._refuse_name(name, (*path, "var"))
        return _Attribute(name, arguments[1] if len(arguments) > 1 else None)

    def _refuse_name(self, name: str, path: Path) -> None:
        if name == "$flagd.timestamp":
            why, instead = "flags do not know the time", "plan the change: flagstream schedule add"
        else:
            why, instead = "properties have no parts", "send it as an attribute of its own"
        raise self._refuse(path, name, why, instead)

    def _refuse(
        self, path: Path, what: str, why: str, instead: str = _OTHERWISE
    ) -> _UnsupportedError:
        self._refusals.add(path, what, why, instead)
        return _UnsupportedError()


def operation(node: Any) -> tuple[str | None, Sequence[Any]]:
    """Take an operator and its arguments apart; None and nothing for a constant."""
    if not isinstance(node, dict) or len(node) != 1:
        return None, ()
    ((operator, arguments),) = node.items()
    return operator, arguments if isinstance(arguments, list) else [arguments]


def variant_name(value: Any) -> str:
    """Write what chooses a variant as its name."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _operators(node: Any) -> Iterator[str]:
    operator, arguments = operation(node)
    if operator is not None:
        yield operator
    for each in arguments:
        yield from _operators(each)


def _is_usual(node: Any) -> bool:
    """Tell whether a split is by what it would be anyway: the flag's key and the targeting key."""
    operator, arguments = operation(node)
    names = [operation(each) for each in (arguments if operator == "cat" else [node])]
    asked = {str(found[0]) for name, found in names if name == "var" and found}
    return len(asked) == len(names) and _KEY in asked and asked <= {_KEY, _FLAG_KEY}


def _fraction(node: Any) -> tuple[str | None, int | None]:
    if not isinstance(node, list) or not 0 < len(node) <= 2:  # noqa: PLR2004
        return None, None
    weight = node[1] if len(node) > 1 else 1
    is_name = isinstance(node[0], str | bool)
    return variant_name(node[0]) if is_name else None, weight if type(weight) is int else None


def _both(one: Formula, other: Formula) -> Formula:
    if TRUE in (one, other):
        return other if one == TRUE else one
    return AllOf((one, other))


def _is_missing(key: str) -> Filter:
    return Filter(key, "is_not_set")


def _or_missing(attribute: _Attribute, found: Formula, *, holds: bool) -> Formula:
    """
    Say of a test whether it holds for who lacks the attribute.

    Args:
        found: A test that does not hold for them.
    """
    return AnyOf((found, _is_missing(attribute.name))) if holds else found


def _holds(one: float, operator: str, other: float) -> bool:
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[operator]

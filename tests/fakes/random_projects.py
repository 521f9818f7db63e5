"""Projects with everything that flags can hold, and whoever asks for them, drawn at random."""

from random import Random
from typing import Any, NamedTuple

GROUP_TYPES = ("organization", "project")
_NAMES = ("plan", "seats", "email", "beta", "$group_key")
_TEXTS = (
    "gold",
    "GOLD",
    "silver",
    "true",
    "false",
    "10",
    "1.2.3",
    "v1.2",
    "2026-01-05",
    "",
    "null",
)
_OPERATORS = (
    *("exact", "is_not", "is_set", "is_not_set", "icontains", "not_icontains"),
    *("starts_with", "not_starts_with", "ends_with", "not_ends_with"),
    *("icontains_multi", "not_icontains_multi", "gt", "gte", "lt", "lte", "between", "not_between"),
    *("regex", "not_regex", "is_date_before", "is_date_after", "is_date_exact"),
    *("semver_eq", "semver_neq", "semver_gt", "semver_lte", "semver_tilde", "semver_wildcard"),
)
_PATTERNS = ("o", "^g.ld$", "[a-z]+", r"^\d+$", r"\w", "a|b|10", "(go)+ld")


class Asker(NamedTuple):
    """Who asks, as a backend tells an SDK."""

    distinct_id: str
    groups: dict[str, Any]
    person_properties: dict[str, Any]
    group_properties: dict[str, dict[str, Any]]


class RandomProject(NamedTuple):
    """
    Definitions, what is stored, and who asks.

    Attributes:
        groups: Stored properties by type and key.
        persons: Stored properties by distinct id.
        active: Remembered groups by distinct id.
    """

    flags: list[dict[str, Any]]
    cohorts: list[dict[str, Any]]
    groups: dict[tuple[str, str], dict[str, Any]]
    persons: dict[str, dict[str, Any]]
    active: dict[str, dict[str, str]]
    askers: list[Asker]


def random_project(random: Random, *, flags: int, askers: int) -> RandomProject:
    """Draw a project with *flags* flags and *askers* askers."""
    draw = _Draw(random)
    cohorts = [draw.cohort(number) for number in range(1, 9)]
    return RandomProject(
        flags=[draw.flag(number, flags, len(cohorts)) for number in range(1, flags + 1)],
        cohorts=cohorts,
        groups={
            (name, f"{name}:{number}"): draw.properties()
            for name in GROUP_TYPES
            for number in range(4)
        },
        persons={f"user-{number}": draw.properties() for number in range(6)},
        active={f"user-{number}": draw.groups() for number in range(0, 8, 2)},
        askers=[draw.asker() for _ in range(askers)],
    )


class _Draw:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._pick = self._random.choice

    def _is(self, chance: float) -> bool:
        return self._random.random() < chance

    def scalar(self) -> Any:
        kind = self._random.randrange(8)
        if kind < 4:
            return self._pick(_TEXTS)
        if kind == 4:
            return self._random.randrange(-5, 15)
        if kind == 5:
            # No whole floats: JavaScript cannot tell them from integers.
            return self._pick((0.5, 12.25, 0.000001, 1e-7, -3.5))
        return self._pick((True, False, None))

    def value(self) -> Any:
        if self._is(0.8):
            return self.scalar()
        if self._is(0.7):
            return [self.scalar() for _ in range(self._random.randrange(3))]
        return {"a": self.scalar()}

    def properties(self) -> dict[str, Any]:
        return {name: self.value() for name in _NAMES[:4] if self._is(0.6)}

    def groups(self) -> dict[str, str]:
        return {
            name: f"{name}:{self._random.randrange(5)}" for name in GROUP_TYPES if self._is(0.6)
        }

    def asker(self) -> Asker:
        groups = self.groups()
        return Asker(
            distinct_id=f"user-{self._random.randrange(8)}",
            groups=groups,
            person_properties={
                **self.properties(),
                **({"$device_id": f"device-{self._random.randrange(3)}"} if self._is(0.5) else {}),
                **({"$feature_enrollment/flag-1": self.value()} if self._is(0.3) else {}),
            },
            group_properties={name: self.properties() for name in groups if self._is(0.8)},
        )

    def flag(self, number: int, flags: int, cohorts: int) -> dict[str, Any]:
        kind = self._random.random()
        index = None if kind < 0.45 else self._random.randrange(3)
        conditions = [
            self.condition(index, flags, cohorts, is_mixed=kind > 0.9)
            for _ in range(self._pick((1, 1, 1, 2, 2, 3)))
        ]
        filters: dict[str, Any] = {"groups": conditions, "aggregation_group_type_index": index}
        if self._is(0.3):
            shares = self._pick(([50, 50], [100, 0], [20, 30], [33.3, 33.3, 33.4]))
            filters["multivariate"] = {
                "variants": [
                    {"key": key, "rollout_percentage": share}
                    for key, share in zip("abc", shares, strict=False)
                ]
            }
        if self._is(0.06):
            filters["holdout"] = {"id": 7, "exclusion_percentage": self._pick((0, 10, 50, 100))}
        if self._is(0.06):
            filters["early_exit"] = True
        if self._is(0.04):
            filters["feature_enrollment"] = True
        return {
            "id": number,
            "key": f"flag-{number}",
            "active": self._is(0.95),
            "bucketing": "murmur3" if self._is(0.3) else "sha1",
            "bucketing_identifier": "device_id" if self._is(0.08) else None,
            "evaluation_runtime": self._pick(("all", "all", "all", "all", "server", "client")),
            "evaluation_contexts": ["app"] if self._is(0.05) else [],
            "filters": filters,
        }

    def condition(
        self, index: int | None, flags: int, cohorts: int, *, is_mixed: bool
    ) -> dict[str, Any]:
        tests = [self.test(index, flags, cohorts) for _ in range(self._pick((0, 1, 1, 1, 2)))]
        condition: dict[str, Any] = {
            "properties": tests,
            "rollout_percentage": self._pick((None, 100, 100, 50, 50, 0, 99.9, 12.5)),
        }
        if self._is(0.1):
            condition["variant"] = self._pick(("a", "b", "zz"))
        if is_mixed and self._is(0.5):
            condition["aggregation_group_type_index"] = self._pick((None, 0, 1))
        return condition

    def test(self, index: int | None, flags: int, cohorts: int) -> dict[str, Any]:
        if self._is(0.08):
            wanted = self._pick((True, True, False, "a"))
            name = self._pick((f"flag-{self._random.randrange(flags + 5)}", str(flags // 2)))
            return {"key": name, "type": "flag", "operator": "flag_evaluates_to", "value": wanted}
        if self._is(0.1):
            cohort = self._random.randrange(1, cohorts + 2)
            operator = self._pick(("in", "in", "not_in", "exact"))
            return {"key": "id", "type": "cohort", "operator": operator, "value": cohort}
        if index is None and self._is(0.9):
            return self.property_test({"type": "person"})
        group = self._pick((0, 1)) if index is None or self._is(0.1) else index
        return self.property_test({"type": "group", "group_type_index": group})

    def property_test(self, of: dict[str, Any]) -> dict[str, Any]:
        # Half of all tests are the ones that SDKs judge alone.
        operator = self._pick(_OPERATORS[:4] if self._is(0.5) else _OPERATORS)
        value = self.value() if self._is(0.6) else self._pick(_TEXTS)
        if "regex" in operator:
            value = self._pick(_PATTERNS)
        elif "between" in operator:
            value = [self._pick((0, "5", "x")), self._pick((10, 3, None))]
        elif "date" in operator:
            value = self._pick(("-7d", "2026-01-01", "2025-06-01T10:00:00Z", "x"))
        elif "semver" in operator:
            value = self._pick(("1.2.3", "v1", "1.*", "x"))
        return {"key": self._pick(_NAMES), "operator": operator, "value": value, **of}

    def cohort(self, number: int) -> dict[str, Any]:
        row: dict[str, Any] = {"id": number, "name": f"cohort {number}"}
        if number == 8:
            return {**row, "is_static": True, "members": ["user-1", "user-3"]}
        of: dict[str, Any] = {"type": "person"}
        if number > 5:
            row["group_type_index"] = 0
            of = {"type": "group"}
        groups = [
            {
                "type": self._pick(("AND", "OR")),
                "values": [
                    {**self.property_test(of), "negation": self._is(0.2)}
                    for _ in range(self._pick((0, 1, 2, 2)))
                ],
            }
            for _ in range(self._pick((1, 2)))
        ]
        if 1 < number < 5:
            named = {"key": "id", "type": "cohort", "value": number - 1, "operator": "in"}
            groups[0]["values"].append(named)
        return {
            **row,
            "filters": {"properties": {"type": self._pick(("AND", "OR")), "values": groups}},
        }

"""Strategies for what the flag engine is fed: rows, projects, contexts, and any JSON at all."""

import math
from typing import Any

from hypothesis import strategies as st

from flagstream.flags import Definitions, EvaluationContext

GROUP_TYPES = {"organization": 0, "project": 1}
NAMES = st.sampled_from(["plan", "seats", "$group_key"])
# Lone surrogates and huge integers too: what a lenient parser lets through.
TEXTS = st.text(st.characters(), max_size=12)
SPECIAL_TEXTS = st.sampled_from(
    [
        *("gold", "Gold", "true", "FALSE", "10", "1e3", "null", "1e305"),
        *("v1.2.3", "1.10", "1.2.3-rc.1", "2024-01-31", "2024-03-31T02:30", "-1m", "June 1, 2024"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | TEXTS
    | SPECIAL_TEXTS
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
PLAIN_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXTS
    | SPECIAL_TEXTS
    | st.just("o")
)
PLAIN_JSON = st.recursive(
    PLAIN_SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_TEXTS, inner, max_size=3),
    max_leaves=4,
)
PERCENTAGES = st.integers(0, 100_000).map(lambda thousandth: thousandth / 1000)
BUCKETINGS = st.sampled_from(["murmur3", "sha1"])
FLAG_KEYS = st.text("abcXYZ019_-", min_size=1, max_size=12)
OPERATORS = st.sampled_from(
    [
        *("exact", "is_not", "is_set", "is_not_set", "icontains", "not_icontains"),
        *("icontains_multi", "not_icontains_multi", "starts_with", "not_starts_with"),
        *("ends_with", "not_ends_with", "gt", "gte", "lt", "lte", "min", "max"),
        *("between", "not_between"),
    ]
)
DATE_OPERATORS = st.sampled_from(["is_date_before", "is_date_after", "is_date_exact"])
DATES = st.sampled_from(
    [
        *("-1d", "3w", "-1m", "13m", "9999y", "10000d", "2024-02-29", "2024-03-31 02:30"),
        *("2024-03-31T00:00:00+14:00", "Jun 1 2024 10:00", "0001-01-01", "1e305", "June"),
    ]
)
VERSION_OPERATORS = st.sampled_from(
    [
        f"semver_{name}"
        for name in ("eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret", "wildcard")
    ]
)
VERSIONS = st.sampled_from(
    ["1.2.3", "v1.2", "0.0.1", "1.2.3-rc.1", "1.*", "*", "1.2.3.4", "", "9" * 300]
)
PATTERNS = st.sampled_from(["", "o", "^g.ld$", "(?i)GOLD", "[a-f]+|10", "ä*$"])
INDEXES = st.sampled_from([0, 1, 4])


def _test(
    operators: st.SearchStrategy[str], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"key": NAMES, "operator": operators, "value": values})


_BOUNDS = st.integers(-5, 20)
UNTIMED_TESTS = (
    _test(OPERATORS, PLAIN_JSON | st.tuples(_BOUNDS, _BOUNDS).map(list))
    | _test(st.sampled_from(["regex", "not_regex"]), PATTERNS)
    | _test(VERSION_OPERATORS, VERSIONS | PLAIN_JSON)
)
TESTS = UNTIMED_TESTS | _test(DATE_OPERATORS, DATES | PLAIN_JSON)


def property_filters(
    types: st.SearchStrategy[dict[str, Any]], tests: st.SearchStrategy[Any] = TESTS
) -> st.SearchStrategy[Any]:
    """
    Make property filters of values that a definition may hold.

    Args:
        types: The members ``type`` and ``group_type_index``.
        tests: All other members.
    """
    return st.builds(lambda test, of: {**test, **of}, tests, types)


ANY_FILTER = property_filters(
    st.sampled_from([{"type": "person"}, {"type": "person_metadata"}])
    | INDEXES.map(lambda index: {"type": "group", "group_type_index": index})
)


def conditions(filters: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    """Make release conditions."""
    return st.fixed_dictionaries(
        {"properties": st.lists(filters, max_size=2)},
        optional={
            "rollout_percentage": st.none() | PERCENTAGES | st.sampled_from([0, 50, 100]),
            "variant": st.sampled_from(["a", "b", "zz"]),
            **more,
        },
    )


VARIANTS = st.lists(PERCENTAGES, max_size=3).map(
    lambda shares: [
        {"key": key, "rollout_percentage": share} for key, share in zip("abc", shares, strict=False)
    ]
)
HOLDOUTS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 3),
        "exclusion_percentage": st.sampled_from([-1, 0, 20, 50, 99.999, 100, 300]),
    }
)
# What goes before conditions, or after; often nothing does.
OVERRIDES = {
    "holdout": st.none() | HOLDOUTS,
    "early_exit": st.sampled_from([None, False, True]),
}


def rows(
    condition: st.SearchStrategy[Any], **members: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """
    Make rows that parse.

    Args:
        members: Of ``filters``, besides conditions, variants, payloads, holdout and early exit.
    """
    filters = st.fixed_dictionaries(
        {
            "groups": st.lists(condition, max_size=3),
            "multivariate": st.fixed_dictionaries({"variants": VARIANTS}),
            "payloads": st.dictionaries(st.sampled_from(["true", "a"]), PLAIN_JSON),
            **OVERRIDES,
            **members,
        }
    )
    return st.fixed_dictionaries({"key": FLAG_KEYS, "bucketing": BUCKETINGS, "filters": filters})


ROWS = rows(
    conditions(ANY_FILTER, aggregation_group_type_index=st.none() | INDEXES),
    aggregation_group_type_index=st.none() | INDEXES,
    feature_enrollment=st.sampled_from([None, False, True]),
)
GROUP_ROWS = rows(
    conditions(property_filters(st.just({"type": "group"}))),
    aggregation_group_type_index=st.just(0),
)
PERSON_ROWS = rows(conditions(property_filters(st.just({"type": "person"}))))

PROPERTIES = st.dictionaries(NAMES, JSON, max_size=3)
NOWS_MS = st.sampled_from(
    [0, 1_711_886_400_000, 1_717_200_000_123, -62_135_596_800_000, 253_402_300_799_000]
)
PROJECT_KEYS = ("one", "two", "three", "four", "five", "six")
"""Of the flags of a project, in the order of their ids from 1 on."""
IDENTIFIERS = st.sampled_from(["u", "v", "w", "", "org:5", "\ud800"])
CONTEXTS = st.builds(
    EvaluationContext,
    distinct_id=TEXTS,
    groups=st.dictionaries(
        st.sampled_from([*GROUP_TYPES, "unknown"]), TEXTS.filter(bool), max_size=3
    ),
    person_properties=PROPERTIES,
    group_properties=st.dictionaries(
        st.sampled_from([*GROUP_TYPES, "unknown"]), PROPERTIES, max_size=2
    ),
    device_id=st.none() | TEXTS,
    anon_distinct_id=st.none() | TEXTS,
    now_ms=NOWS_MS,
)

# Whole projects. They are drawn from what is listed here, as each draw takes its time.

_PAIRS: tuple[tuple[str, Any], ...] = (
    *(("exact", "gold"), ("exact", ["gold", 10]), ("exact", True), ("exact", "false")),
    *(("exact", []), ("exact", None), ("is_not", "GOLD"), ("is_not", None), ("is_set", None)),
    *(("is_not_set", None), ("icontains", "O"), ("not_icontains", ""), ("starts_with", "g")),
    *(("not_starts_with", 1), ("ends_with", "D"), ("not_ends_with", "null")),
    *(("icontains_multi", ["x", "ol"]), ("not_icontains_multi", ["go"]), ("regex", "^g.ld$")),
    *(("not_regex", "[0-9]"), ("gt", 9), ("gte", "10"), ("lt", 1.5), ("lte", "x"), ("min", 10)),
    *(("max", 10), ("between", [0, 10]), ("between", [5]), ("not_between", ["1", 3])),
    *(("semver_eq", "1.2.3"), ("semver_neq", "v1.2"), ("semver_gt", "1.2.3-rc.1")),
    *(("semver_gte", "1"), ("semver_lt", "2"), ("semver_lte", "x"), ("semver_tilde", "1.2")),
    *(("semver_caret", "1.2"), ("semver_wildcard", "1.*")),
)
_DATE_PAIRS: tuple[tuple[str, Any], ...] = (
    *(("is_date_before", "-1d"), ("is_date_after", "13m"), ("is_date_exact", "2024-01-31")),
    *(("is_date_before", "2024-03-31 02:30"), ("is_date_after", "10000d"), ("is_date_exact", 5)),
)
_PROJECT_NAMES = ("plan", "seats")
_ADDED_NAMES = ("$group_key", "distinct_id", "$initial_utm_source")


def _filters(*types: dict[str, Any], pairs: tuple[tuple[str, Any], ...]) -> list[dict[str, Any]]:
    added = [(key, pair) for key in _ADDED_NAMES for pair in (("exact", "u"), ("is_not", "org:5"))]
    return [
        {"key": key, "operator": operator, "value": value, **of}
        for of in types
        for key, (operator, value) in (*((key, p) for key in _PROJECT_NAMES for p in pairs), *added)
    ]


_PERSON, _METADATA = {"type": "person"}, {"type": "person_metadata"}
_GROUP = {"type": "group"}
_TYPED_GROUPS = [{"type": "group", "group_type_index": index} for index in (0, 1, 4)]
_ALL_PAIRS = (*_PAIRS, *_DATE_PAIRS)
_PERSON_FILTERS = [
    *_filters(_PERSON, pairs=_ALL_PAIRS),
    *_filters(_METADATA, pairs=(("is_not_set", None), ("is_date_before", "-1d"))),
]
_ANY_FILTERS = [*_PERSON_FILTERS, *_filters(*_TYPED_GROUPS, pairs=_ALL_PAIRS)]
_GROUP_FILTERS = _filters(_GROUP, pairs=_PAIRS)
_COMMON = ("gold", "10", "1.2.3", "v1.2.9", "2024-01-31", 10, 9.5, True)
_VALUES = st.sampled_from(
    [
        *(*_COMMON * 5, "Gold", "silver", "true", "", 0, -1, False, None, "null"),
        *("1.2.3-rc.1", "2024-03-30T12:00:00Z", "-2m", 1_711_800_000, [], ["gold"], [True]),
        *({"a": 1}, "\ud800", 1e305, 10**400, math.nan),
    ]
)
_GROUPS_PROPERTIES = st.fixed_dictionaries({}, optional={"plan": _VALUES, "seats": _VALUES})
PERSONS_PROPERTIES = st.builds(
    lambda properties, more: {**properties, **more},
    _GROUPS_PROPERTIES,
    st.sampled_from(
        [
            *({}, {}, {}, {"utm_source": "u"}),
            *(
                {f"$feature_enrollment/{key}": value}
                for key in PROJECT_KEYS[:3]
                for value in (True, "true", False)
            ),
        ]
    ),
)
ASKS = st.builds(
    EvaluationContext,
    distinct_id=IDENTIFIERS,
    groups=st.sampled_from(
        [
            {},
            *({"organization": "org:5"}, {"organization": "u"}),
            *({"organization": x, "project": y} for x in "uvw" for y in ("v", "org:5")),
            {"project": "w", "unknown": "x"},
        ]
    ),
    person_properties=PERSONS_PROPERTIES,
    group_properties=st.fixed_dictionaries(
        {"organization": _GROUPS_PROPERTIES}, optional={"project": _GROUPS_PROPERTIES}
    ),
    device_id=st.none() | IDENTIFIERS,
    anon_distinct_id=st.none() | IDENTIFIERS,
    hash_keys=st.dictionaries(st.sampled_from(PROJECT_KEYS), IDENTIFIERS, max_size=2),
    distinct_ids=st.sampled_from([(), ("v",), ("w", "u"), ("",)]),
    now_ms=NOWS_MS,
)
"""Contexts that meet the definitions of projects now and then."""

COHORT_IDS = (1, 2, 3)
MISSING = 9
"""The id of no flag and of no cohort."""


def _flag_filters(*names: str) -> list[dict[str, Any]]:
    values = (True, False, True, False, "a", "holdout-1", None)
    member = {"type": "flag", "operator": "flag_evaluates_to"}
    return [{"key": name, **member, "value": value} for value in values for name in names]


_BEFORE = ("-1", "-1", "-2")
"""Stand for the ids of the flags so many before the one at hand."""
_ANY_FLAGS = ("1", "2", "three", "4", str(MISSING))
_FLAG_FILTERS = [*_flag_filters(*_BEFORE) * 5, *_flag_filters(*_ANY_FLAGS)]
_COHORT_FILTERS = [
    {"key": "id", "type": "cohort", "value": cohort_id, **operator}
    for operator in ({}, {"operator": "in"}, {"operator": "not_in"})
    for cohort_id in (*COHORT_IDS * 4, MISSING)
]
# Mostly those with lower ids, so that few are defined by themselves.
_COHORT_FILTERS_IN_COHORTS = [
    test for test in _COHORT_FILTERS for _ in range(8 - 3 * min(test["value"], 2))
]
_BEHAVIORAL = {"key": "$pageview", "type": "behavioral", "value": "performed_event"}


def _cohorts(
    leaf: st.SearchStrategy[dict[str, Any]], group_type_index: int | None
) -> st.SearchStrategy[dict[str, Any]]:
    """Make the rows of cohorts, nested and static and empty ones among them, but for their ids."""
    negated = st.builds(
        lambda test, negation: {**test, **negation},
        leaf,
        st.sampled_from([{}, {"negation": False}, {"negation": True}]),
    )

    def group(entry: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        kinds = st.sampled_from(["AND", "OR", "property"])
        return st.builds(
            lambda kind, values: {"type": kind, "values": values},
            kinds,
            st.lists(entry, max_size=2),
        )

    dynamic = group(negated | group(negated)).map(lambda rules: {"filters": {"properties": rules}})
    static = st.lists(IDENTIFIERS, max_size=2).map(
        lambda members: {"is_static": True, "members": members}
    )
    return st.builds(
        lambda row, deleted: {**row, "group_type_index": group_type_index, "deleted": deleted},
        dynamic | dynamic | static,
        st.sampled_from([*(False,) * 7, True]),
    )


def _by_id(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {at: {**row, "id": at} for at, row in enumerate(rows, 1)}


_PERSON_LEAF = (
    st.sampled_from(_PERSON_FILTERS)
    | st.sampled_from(_COHORT_FILTERS_IN_COHORTS)
    | st.sampled_from([*_flag_filters("1", "one", "2") * 3, *_flag_filters("3"), _BEHAVIORAL])
)
_GROUP_LEAF = st.sampled_from(_GROUP_FILTERS) | st.sampled_from(_COHORT_FILTERS_IN_COHORTS)
COHORTS = st.lists(
    _cohorts(_PERSON_LEAF, None) | _cohorts(_GROUP_LEAF, 0),
    min_size=2,
    max_size=len(COHORT_IDS),
).map(_by_id)
"""Rows by id: nested, naming each other and flags, missing ones and themselves among them."""

_ROLLOUTS = st.sampled_from(
    [{}, *({"rollout_percentage": x} for x in (None, 100, 50, 50, 60, 33.3, 0))]
)
_VARIANTS = [
    {},
    *(
        {"multivariate": {"variants": [{"key": key, "rollout_percentage": x} for key, x in shares]}}
        for shares in ([("a", 100)], [("a", 50), ("b", 50)], [("b", 10), ("a", 30)], [])
    ),
]
_PAYLOADS: list[dict[str, Any]] = [{}, {"payloads": {"true": {"n": 1}, "a": "x", "holdout-1": 1}}]
_HOLDOUTS: list[dict[str, Any]] = [
    *({}, {}, {}, {}, {"holdout": None}),
    *({"holdout": {"id": 1, "exclusion_percentage": x}} for x in (-1, 30, 50, 100)),
]
_EXITS: list[dict[str, Any]] = [{}, {}, {"early_exit": False}, {"early_exit": True}]
_ENROLLMENTS: list[dict[str, Any]] = [{}, {}, {"feature_enrollment": True}]
_IDENTIFYING: list[dict[str, Any]] = [
    *({}, {"bucketing_identifier": "device_id"}),
    {"ensure_experience_continuity": True, "bucketing_identifier": "distinct_id"},
]
_AUDIENCES: list[dict[str, Any]] = [
    *({}, {"evaluation_runtime": "all"}, {"evaluation_runtime": "server"}),
    *({"evaluation_runtime": "client", "evaluation_contexts": ["app"]},),
    *({"evaluation_contexts": ["app", "site"]}, {"evaluation_contexts": []}),
]


def _merged(*parts: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw one of each and join them, with one draw for all."""
    count = math.prod(map(len, parts))

    def join(number: int) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for part in parts:
            number, at = divmod(number, len(part))
            joined |= part[at]
        return joined

    return st.integers(0, count - 1).map(join)


def _flags(
    filters: st.SearchStrategy[Any],
    abouts: list[dict[str, Any]],
    members: st.SearchStrategy[Any],
    row_members: st.SearchStrategy[Any],
) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """
    Make rows by key, with ids.

    Args:
        abouts: What a condition may say of whom it is about.
        members: Of ``filters``, besides conditions.
        row_members: Of the row, besides ``filters``.
    """
    condition = st.builds(
        lambda properties, rollout, more: {"properties": properties, **rollout, **more},
        st.lists(filters, min_size=1, max_size=1) | st.lists(filters, max_size=2),
        _ROLLOUTS,
        _merged(abouts, [{}, {}, {"variant": "a"}, {"variant": "zz"}]),
    )
    row = st.builds(
        lambda groups, more, row: {**row, "filters": {**more, "groups": groups}},
        st.lists(condition, min_size=1, max_size=2) | st.lists(condition, max_size=2),
        members,
        row_members,
    )

    return st.lists(row, min_size=2, max_size=len(PROJECT_KEYS) - 1).map(_by_key)


def _by_key(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give rows keys and ids, and the filters that name flags before them the ids of these."""
    by_key = {}
    for at, (key, row) in enumerate(zip(PROJECT_KEYS, rows, strict=False), 1):
        groups = [
            {**condition, "properties": [_named(test, at) for test in condition["properties"]]}
            for condition in row["filters"]["groups"]
        ]
        filters = {**row["filters"], "groups": groups}
        by_key[key] = {**row, "id": at, "key": key, "version": 3, "filters": filters}
    return by_key


def _named(test: dict[str, Any], at: int) -> dict[str, Any]:
    if test["key"] not in _BEFORE:
        return test
    flag_id = at + int(test["key"])
    if flag_id < 1:
        return {"key": "plan", "type": "group", "group_type_index": 0, "operator": "is_set"}
    return {**test, "key": str(flag_id) if flag_id % 2 else PROJECT_KEYS[flag_id - 1]}


def _about(*indexes: int | None) -> list[dict[str, Any]]:
    return [{}, {}, {}, *({"aggregation_group_type_index": index} for index in indexes)]


_ROW_MEMBERS = _merged(
    [{"bucketing": "murmur3"}, {"bucketing": "sha1"}, {}],
    _IDENTIFYING,
    _AUDIENCES,
    [*({"active": True},) * 4, {"active": False}],
)
FLAGS = _flags(
    st.sampled_from(_ANY_FILTERS)
    | st.sampled_from(_COHORT_FILTERS)
    | st.sampled_from(_FLAG_FILTERS)
    | st.sampled_from(_FLAG_FILTERS),
    _about(None, 0, 1),
    _merged(_about(None, 0, 0, 1, 4), _VARIANTS, _PAYLOADS, _HOLDOUTS, _EXITS, _ENROLLMENTS),
    _ROW_MEMBERS,
)
"""Rows by key that parse: naming each other, cohorts, missing ones and themselves among them."""


def _projects(
    flags: st.SearchStrategy[Any], cohorts: st.SearchStrategy[Any]
) -> st.SearchStrategy[Definitions]:
    return st.builds(
        Definitions,
        flags=flags,
        cohorts=cohorts,
        group_types=st.just(GROUP_TYPES),
        timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
        property_matching_version=st.sampled_from([1, 2]),
    )


PROJECTS = _projects(FLAGS, COHORTS)
GROUP_PROJECTS = _projects(
    _flags(
        st.sampled_from(_GROUP_FILTERS)
        | st.sampled_from(_COHORT_FILTERS)
        | st.sampled_from(_FLAG_FILTERS),
        [{}, {"aggregation_group_type_index": 0}],
        _merged([{"aggregation_group_type_index": 0}], _VARIANTS, _PAYLOADS, _HOLDOUTS, _EXITS),
        _ROW_MEMBERS,
    ),
    st.lists(_cohorts(_GROUP_LEAF, 0), max_size=len(COHORT_IDS)).map(_by_id),
)
"""Projects whose flags look at one organization and at nothing else."""

UNREADABLE_ROWS = st.sampled_from(
    [
        {"filters": {"groups": 5}},
        {"id": 2, "version": "x"},
        {"id": 1, "filters": {"groups": [{"rollout_percentage": 101}]}, "active": False},
        {"filters": {"version": 2}, "evaluation_runtime": "edge"},
        {"bucketing_identifier": "device_id", "ensure_experience_continuity": True},
    ]
)
AUDIENCES = st.tuples(
    st.sampled_from([None, "server", "client"]),
    st.sampled_from([[], [], ["app"], ["site"], ["app", "other"], ["other"]]),
)

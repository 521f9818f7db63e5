"""Strategies for what the flag engine is fed: rows, contexts, and any JSON at all."""

from typing import Any

from hypothesis import strategies as st

from flagstream.flags import EvaluationContext

GROUP_TYPES = {"organization": 0, "project": 1}
NAMES = st.sampled_from(["plan", "seats", "$group_key"])
# Lone surrogates and huge integers too: what a lenient parser lets through.
TEXTS = st.text(st.characters(), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | TEXTS
    | st.sampled_from(["gold", "Gold", "true", "FALSE", "10", "1e3", "null"])
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
    | st.sampled_from(["gold", "Gold", "true", "FALSE", "10", "1e3", "null", "o"])
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
        *("exact", "is_not", "icontains", "not_icontains", "is_set", "is_not_set"),
        *("gt", "gte", "lt", "lte", "min", "max"),
    ]
)
PATTERNS = st.sampled_from(["", "o", "^g.ld$", "(?i)GOLD", "[a-f]+|10", "ä*$"])
INDEXES = st.sampled_from([0, 1, 4])


def property_filters(types: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """
    Make property filters of values that a definition may hold.

    Args:
        types: The members ``type`` and ``group_type_index``.
    """
    tests = st.fixed_dictionaries({"key": NAMES, "operator": OPERATORS, "value": PLAIN_JSON})
    patterns = st.fixed_dictionaries(
        {"key": NAMES, "operator": st.sampled_from(["regex", "not_regex"]), "value": PATTERNS}
    )
    return st.builds(lambda test, of: {**test, **of}, tests | patterns, types)


ANY_FILTER = property_filters(
    st.just({"type": "person"})
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


def rows(
    condition: st.SearchStrategy[Any], **members: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """
    Make rows that parse.

    Args:
        members: Of ``filters``, besides conditions, variants and payloads.
    """
    filters = st.fixed_dictionaries(
        {
            "groups": st.lists(condition, max_size=3),
            "multivariate": st.fixed_dictionaries({"variants": VARIANTS}),
            "payloads": st.dictionaries(st.sampled_from(["true", "a"]), PLAIN_JSON),
            **members,
        }
    )
    return st.fixed_dictionaries({"key": FLAG_KEYS, "bucketing": BUCKETINGS, "filters": filters})


ROWS = rows(
    conditions(ANY_FILTER, aggregation_group_type_index=st.none() | INDEXES),
    aggregation_group_type_index=st.none() | INDEXES,
)
GROUP_ROWS = rows(
    conditions(property_filters(st.just({"type": "group"}))),
    aggregation_group_type_index=st.just(0),
)
PERSON_ROWS = rows(conditions(property_filters(st.just({"type": "person"}))))

PROPERTIES = st.dictionaries(NAMES, JSON, max_size=3)
CONTEXTS = st.builds(
    EvaluationContext,
    distinct_id=TEXTS,
    groups=st.dictionaries(st.sampled_from([*GROUP_TYPES, "unknown"]), TEXTS.filter(bool)),
    person_properties=PROPERTIES,
    group_properties=st.dictionaries(st.sampled_from([*GROUP_TYPES, "unknown"]), PROPERTIES),
    device_id=st.none() | TEXTS,
)

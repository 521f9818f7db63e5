"""Where posthog-python gives an answer of its own, it is the server's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from posthog import Posthog
from posthog.feature_flags import InconclusiveMatchError, RequiresServerEvaluation

from flagstream.flags import (
    Definitions,
    EvaluationContext,
    Sdk,
    compile_flags,
    compile_project,
    local_definitions,
    parse_project,
)
from tests.fakes.definitions import GROUP_ROWS, GROUP_TYPES, NAMES, PERSON_ROWS, PLAIN_JSON

# No empty identifiers: no SDK sends one. Integers of 64 bits: others do not arrive as such.
IDENTIFIERS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
PROPERTIES = st.dictionaries(NAMES, PLAIN_JSON, max_size=3)
ASKS_SERVER = object()


@pytest.fixture(scope="module")
def sdk():
    """An SDK that is handed its definitions and sends nothing."""
    client = Posthog("phc_test", send=False, sync_mode=True)

    yield client

    client.shutdown()


def sdk_value(sdk: Posthog, row: dict[str, Any], context: EvaluationContext) -> Any:
    """Ask the SDK, given the document that the server sends."""
    definitions = Definitions(flags={row["key"]: row}, group_types=GROUP_TYPES)
    project = compile_project(parse_project(definitions))
    local = local_definitions(project, remembers_groups=False)
    document = json.loads(local.documents[Sdk.PYTHON])
    (flag,) = document["flags"]
    snapshot = {
        "flags": document["flags"],
        "flags_by_key": {flag["key"]: flag},
        "group_type_mapping": document["group_type_mapping"],
        "cohorts": document["cohorts"],
    }
    try:
        return sdk._compute_flag_locally(
            flag,
            context.distinct_id,
            groups=context.groups,
            person_properties=context.person_properties,
            group_properties=context.group_properties,
            warn_on_unknown_groups=False,
            device_id=context.device_id,
            _definition_snapshot=snapshot,
        )
    except (InconclusiveMatchError, RequiresServerEvaluation):
        return ASKS_SERVER


def server_value(row: dict[str, Any], context: EvaluationContext) -> Any:
    (evaluation,) = compile_flags({row["key"]: row}, GROUP_TYPES).answers(context)
    return evaluation.value


class TestAgreement:
    @given(row=GROUP_ROWS, group_key=IDENTIFIERS, properties=PROPERTIES)
    def test_group_flags(self, sdk, row, group_key, properties):
        """
        For any group flag and any properties the SDK answers as the server, or asks it.
        """
        context = EvaluationContext(
            distinct_id="u",
            groups={"organization": group_key},
            group_properties={"organization": properties},
        )

        assert sdk_value(sdk, row, context) in (ASKS_SERVER, server_value(row, context))

    @given(row=PERSON_ROWS, distinct_id=IDENTIFIERS, properties=PROPERTIES)
    def test_person_flags(self, sdk, row, distinct_id, properties):
        """
        For any person flag and any properties the SDK answers as the server, or asks it.
        """
        context = EvaluationContext(distinct_id=distinct_id, person_properties=properties)

        assert sdk_value(sdk, row, context) in (ASKS_SERVER, server_value(row, context))

    @pytest.mark.parametrize("percentage", [0, 12.5, 50, 99.9, 100])
    def test_sha1_is_posthogs(self, sdk, percentage):
        """
        A sha1 flag is judged by the SDK itself, and every group is on the same side.
        """
        row = {
            "key": "beta",
            "bucketing": "sha1",
            "filters": {
                "aggregation_group_type_index": 0,
                "groups": [{"rollout_percentage": percentage}],
                "multivariate": {
                    "variants": [
                        {"key": key, "rollout_percentage": share}
                        for key, share in {"a": 33.3, "b": 33.3, "c": 33.4}.items()
                    ]
                },
            },
        }
        contexts = [
            EvaluationContext(
                distinct_id="u",
                groups={"organization": f"org:{n}"},
                group_properties={"organization": {}},
            )
            for n in range(1_000)
        ]

        assert [server_value(row, each) for each in contexts] == [
            sdk_value(sdk, row, each) for each in contexts
        ]

    @pytest.mark.parametrize("aggregation", [{}, {"aggregation_group_type_index": 0}])
    @pytest.mark.parametrize(
        ("filters", "is_local"),
        [
            ({"groups": [{"rollout_percentage": 50}]}, False),
            ({"groups": [{"rollout_percentage": 99.999}]}, False),
            ({"groups": [{"rollout_percentage": 100}]}, True),
            ({"groups": [{}], "multivariate": {"variants": [("a", 50), ("b", 50)]}}, False),
            ({"groups": [{}], "multivariate": {"variants": [("a", 100), ("b", 0)]}}, True),
            (
                {"groups": [{"variant": "b"}], "multivariate": {"variants": [("a", 9), ("b", 9)]}},
                True,
            ),
        ],
    )
    def test_murmur3_is_local_where_the_hash_cannot_matter(
        self, sdk, aggregation, filters, is_local
    ):
        """
        Of a murmur3 flag the SDK asks the server exactly where the hash decides.
        """
        filters = {**filters, **aggregation}
        if "multivariate" in filters:
            filters["multivariate"] = {
                "variants": [
                    {"key": key, "rollout_percentage": share}
                    for key, share in filters["multivariate"]["variants"]
                ]
            }
        row = {"key": "beta", "bucketing": "murmur3", "filters": filters}
        context = EvaluationContext(
            distinct_id="u",
            groups={"organization": "org:5"},
            group_properties={"organization": {}},
        )

        value = sdk_value(sdk, row, context)

        assert value == (server_value(row, context) if is_local else ASKS_SERVER)

"""The short way of reading a flag request."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flagstream.errors import RequestError
from flagstream.wire import json_text, parse_flags_request, read_flags_request

TEXTS = st.sampled_from(["", "a", "phc_one", "x" * 201, "é", "\ud800"])
LEAVES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.integers(2**63, 2**70)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
NAMES = [
    *("token", "api_key", "$token", "distinct_id", "$distinct_id"),
    *("$anon_distinct_id", "anon_distinct_id", "$device_id", "device_id"),
    *("$session_id", "session_id", "groups", "$groups", "person_properties", "$properties"),
    *("group_properties", "$group_properties", "flag_keys", "flag_keys_to_evaluate"),
    *("disable_flags", "evaluation_contexts", "evaluation_environments"),
    *("evaluation_runtime", "unknown"),
]
LEAST = {"token": "phc_one", "distinct_id": "user"}


def outcome(read):
    """What a reading gives: the request, or the refusal in words."""
    try:
        return read()
    except RequestError as error:
        return (type(error), error.detail, error.attr)


class TestShortWay:
    @given(members=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), least=st.booleans())
    @example(members={"$anon_distinct_id": "x" * 201}, least=True)
    @example(members={"groups": {"a": ""}}, least=True)
    @example(members={"groups": {"": "a"}}, least=True)
    @example(members={"groups": {"a": "x" * 401}}, least=True)
    @example(members={"groups": {str(n): "x" for n in range(101)}}, least=True)
    @example(members={"person_properties": {"$device_id": "d"}}, least=True)
    @example(members={"person_properties": [1]}, least=True)
    @example(members={"group_properties": {"a": 1}}, least=True)
    @example(members={"group_properties": None, "groups": None, "flag_keys": []}, least=True)
    @example(members={"flag_keys": ["a"], "flag_keys_to_evaluate": []}, least=True)
    @example(members={"person_properties": {"big": 2**70}}, least=True)
    def test_is_the_long_way(self, members, least):
        """
        Whatever is sent is read as decoding and parsing read it, refusals among it.
        """
        raw = json.dumps({**(LEAST if least else {}), **members}).encode()

        long = outcome(lambda: parse_flags_request(json_text.loads(raw, 64), {}))
        assert long == outcome(lambda: read_flags_request(raw, {}, 64))

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"[]",
            b'{"token":"t","distinct_id":"\xff"}',
            b'{"token":"t","distinct_id":"u","groups":{"a":NaN}}',
            b'{"token":"t","distinct_id":"u","person_properties":{"a":\xff}}',
            b'{"token":"t","distinct_id":"u","person_properties":' + b"[" * 70 + b"]" * 70 + b"}",
            b'{"token":"t","distinct_id":"u","distinct_id":"v","token":"w"}',
        ],
    )
    def test_odd_bytes(self, raw):
        """
        Torn, deep and doubled bodies are read alike as well.
        """
        long = outcome(lambda: parse_flags_request(json_text.loads(raw, 64), {}))
        assert long == outcome(lambda: read_flags_request(raw, {}, 64))

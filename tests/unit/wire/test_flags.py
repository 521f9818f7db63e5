"""Flag requests in every spelling."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import InvalidRequestError, RequestError, UnauthenticatedError
from flagstream.wire import parse_flags_request

LEAST = {"token": "phc_one", "distinct_id": "user-1"}
FIELDS = [
    "token",
    "api_key",
    "distinct_id",
    "$distinct_id",
    "groups",
    "person_properties",
    "group_properties",
    "flag_keys",
    "evaluation_contexts",
    "$device_id",
    "disable_flags",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def parse(**members):
    return parse_flags_request({**LEAST, **members}, {})


class TestSpellings:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"token": "phc_one"}, {"token": "phc_one"}),
            ({"api_key": "phc_one"}, {"token": "phc_one"}),
            ({"$token": "phc_one"}, {"token": "phc_one"}),
            ({"distinct_id": 7}, {"distinct_id": "7"}),
            ({"distinct_id": ""}, {"distinct_id": ""}),
            ({"distinct_id": "u" * 300}, {"distinct_id": "u" * 200}),
            ({"distinct_id": None, "$distinct_id": "u"}, {"distinct_id": "u"}),
            ({"$anon_distinct_id": "a"}, {"anon_distinct_id": "a"}),
            ({"anon_distinct_id": "a"}, {"anon_distinct_id": "a"}),
            ({"$anon_distinct_id": "a" * 300}, {"anon_distinct_id": "a" * 200}),
            ({"device_id": None}, {"device_id": None}),
            ({"device_id": "d"}, {"device_id": "d"}),
            ({"device_id": 7}, {"device_id": "7"}),
            ({"$device_id": "d"}, {"device_id": "d"}),
            ({"person_properties": {"$device_id": "d"}}, {"device_id": "d"}),
            ({"$session_id": "s"}, {"session_id": "s"}),
            ({"groups": {"company": 5}}, {"groups": {"company": "5"}}),
            ({"groups": {"company": 5.0}}, {"groups": {"company": "5"}}),
            ({"groups": {"company": 1.5}}, {"groups": {"company": "1.5"}}),
            ({"$groups": {"company": "5"}}, {"groups": {"company": "5"}}),
            (
                {"groups": {"a": "", "b": None, "c": True, "d": {}, "e": "k"}},
                {"groups": {"e": "k"}},
            ),
            ({"groups": []}, {"groups": {}}),
            ({"groups": "company"}, {"groups": {}}),
            ({"$properties": {"a": 1}}, {"person_properties": {"a": 1}}),
            ({"person_properties": None}, {"person_properties": {}}),
            ({"group_properties": {"t": {"a": 1}}}, {"group_properties": {"t": {"a": 1}}}),
            ({"$group_properties": {"t": {}}}, {"group_properties": {"t": {}}}),
            ({}, {"flag_keys": None, "disable_flags": False, "evaluation_contexts": ()}),
            ({"flag_keys": []}, {"flag_keys": []}),
            ({"flag_keys": ["f"]}, {"flag_keys": ["f"]}),
            ({"flag_keys_to_evaluate": ["f"]}, {"flag_keys": ["f"]}),
            ({"distinct_id": None, "disable_flags": True}, {"disable_flags": True}),
            ({"evaluation_environments": ["e"]}, {"evaluation_contexts": ["e"]}),
            ({"evaluation_contexts": ["e"]}, {"evaluation_contexts": ["e"]}),
            ({"evaluation_runtime": "server"}, {"evaluation_runtime": "server"}),
        ],
    )
    def test_same(self, body, expected):
        """
        Every spelling that a client uses is read alike.
        """
        token = {} if {"api_key", "$token"} & body.keys() else {"token": "phc_one"}
        asked = parse_flags_request({"distinct_id": "user-1", **token, **body}, {})

        assert expected == {name: getattr(asked, name) for name in expected}

    def test_token_in_the_query(self):
        """
        Where the body has no token, the query's counts.
        """
        assert "phc_one" == parse_flags_request({"distinct_id": "u"}, {"token": "phc_one"}).token


class TestRefusals:
    @pytest.mark.parametrize(
        ("members", "field"),
        [
            ({"distinct_id": None}, "distinct_id"),
            ({"distinct_id": True}, "distinct_id"),
            ({"distinct_id": ["u"]}, "distinct_id"),
            ({"$device_id": {"a": 1}}, "$device_id"),
            ({"$anon_distinct_id": ["a"]}, "$anon_distinct_id"),
            ({"groups": {"company": "k" * 401}}, "groups"),
            ({"groups": {f"t{i}": "k" for i in range(101)}}, "groups"),
            ({"person_properties": [1]}, "person_properties"),
            ({"group_properties": {"t": 1}}, "group_properties.t"),
            ({"flag_keys": "f"}, "flag_keys"),
            ({"flag_keys": [1]}, "flag_keys"),
            ({"evaluation_contexts": {"e": 1}}, "evaluation_contexts"),
        ],
    )
    def test_names_the_field(self, members, field):
        """
        A member of the wrong type is named.
        """
        with pytest.raises(InvalidRequestError) as refused:
            parse(**members)

        assert field == refused.value.attr
        assert refused.value.detail.startswith(f"{field}: expected ")

    @pytest.mark.parametrize("body", [[], "text", 5, None])
    def test_no_object(self, body):
        """
        A body that is no object is refused.
        """
        with pytest.raises(InvalidRequestError, match="expected an object"):
            parse_flags_request(body, {})

    @pytest.mark.parametrize("token", [None, "", 5, ["phc_one"]])
    def test_no_token(self, token):
        """
        Without a token nobody is answered.
        """
        with pytest.raises(UnauthenticatedError):
            parse(token=token)

    @given(body=st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
    def test_total(self, body):
        """
        Whatever the members are, there is a request or an error for the client.
        """
        with contextlib.suppress(RequestError):
            parse_flags_request(body, {})

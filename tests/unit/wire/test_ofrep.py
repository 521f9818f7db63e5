"""What OFREP asks for, as a flag request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import InvalidRequestError
from flagstream.wire import INVALID_CONTEXT, read_ofrep_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(["targetingKey", "groups", "group_properties", "plan", "$device_id"])


def read(context):
    return read_ofrep_request(json.dumps({"context": context}).encode(), 64)


class TestReadOfrepRequest:
    def test_members(self):
        """
        The targeting key is the distinct id; groups are groups, all else is of the person.
        """
        request = read(
            {
                "targetingKey": "anna",
                "groups": {"company": 5, "project": None},
                "group_properties": {"company": {"plan": "pro"}},
                "plan": "free",
                "$device_id": "phone",
            }
        )

        assert ("anna", "phone") == (request.distinct_id, request.device_id)
        assert {"company": "5"} == request.groups
        assert {"company": {"plan": "pro"}} == request.group_properties
        assert {"plan": "free", "$device_id": "phone"} == request.person_properties

    def test_long_group(self):
        """
        A group's name that no group can have is refused by its place.
        """
        with pytest.raises(InvalidRequestError) as refused:
            read({"targetingKey": "anna", "groups": {"company": "x" * 401}})

        assert (INVALID_CONTEXT, "context.groups") == (refused.value.code, refused.value.attr)

    @given(context=JSON | st.dictionaries(NAMES, JSON))
    def test_total(self, context):
        """
        Whatever the context is, it is read or refused by naming a member of it.
        """
        refused = None
        try:
            read(context)
        except InvalidRequestError as error:
            refused = error.attr or "nothing"

        assert refused is None or refused.startswith("context")

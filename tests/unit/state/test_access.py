"""Scopes, and what follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.state.access import Key, Scope, allowed

SCOPES = st.lists(st.sampled_from(Scope))


class TestAllowed:
    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            ("flags:read", {"flags:read"}),
            ("flags:write", {"flags:read", "flags:write"}),
            ("groups:read", {"groups:read"}),
            ("groups:write", {"groups:read", "groups:write"}),
            ("events:read", {"events:read"}),
            ("project:admin", {*Scope}),
            ("flags:delete", set()),
        ],
    )
    def test_implied(self, scope, expected):
        """
        Who writes reads as well, who administers does everything; an unknown scope allows nothing.
        """
        assert expected == allowed([scope])

    @given(SCOPES, SCOPES)
    def test_union(self, some, others):
        """
        Scopes together allow what each allows, and nothing else.
        """
        assert allowed(some) | allowed(others) == allowed([*some, *others])


class TestKey:
    def test_body(self):
        """
        A key is read as it was written.
        """
        key = Key(label="a", scopes=["x"], hash="h", end="e", created_at_ms=1, created_by="b")

        assert key == Key.from_body(key.to_body())

"""Refused values, as they are named to who sent them."""

import time

from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import quote

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("abc\n\ud800é")
    | st.text("ab\n").map(str.encode),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
)


class TestQuote:
    @given(value=JSON)
    def test_it_is_the_beginning(self, value):
        """
        A value is named as Python writes it, up to 80 characters.
        """
        whole = repr(value)

        assert whole[:80] == quote(value).removesuffix("…")[:80]
        assert (len(whole) > 80) == quote(value).endswith("…")

    def test_large(self):
        """
        Only the beginning of a value is looked at.
        """
        deep: list = []
        for _ in range(100_000):
            deep = [deep]
        large = [deep, "a" * 100_000_000, dict.fromkeys(range(1_000_000)), [0] * 10_000_000]
        started = time.process_time()

        quoted = [quote(each) for each in large]

        assert time.process_time() - started < 1
        assert all(len(each) <= 81 for each in quoted)

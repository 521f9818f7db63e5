"""Messages in a stream of bytes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from flagstream.processes.framing import Frames, framed


class TestFrames:
    @given(messages=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(0, 300)))
    def test_any_cut_gives_the_same_messages(self, messages, cuts):
        """
        What was sent arrives, however the stream is cut on its way.
        """
        stream = b"".join(map(framed, messages))
        edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        frames = Frames()

        found = [
            each
            for start, end in itertools.pairwise(edges)
            for each in frames.feed(stream[start:end])
        ]

        assert messages == found

    def test_a_message_comes_as_soon_as_it_is_complete(self):
        """
        Nobody waits for the beginning of the next one.
        """
        frames = Frames()

        assert [] == list(frames.feed(framed(b"one")[:-1]))
        assert [b"one", b""] == list(frames.feed(b"e" + framed(b"") + framed(b"two")[:3]))

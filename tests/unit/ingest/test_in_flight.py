"""The bookkeeping of records that the views do not show yet."""

import pytest

from flagstream.errors import OverloadedError
from flagstream.ingest.in_flight import InFlight, Mark
from flagstream.ports import Append, Position
from flagstream.topics import Topic


def mark(number):
    return Mark(Topic.GROUP_UPDATES, b"%d" % number)


def at(offset):
    return Position(Topic.GROUP_UPDATES, 0, offset)


@pytest.fixture
def in_flight(log):
    return InFlight(log, limit=4)


class TestInFlight:
    def test_until_the_latest_is_visible(self, log, in_flight):
        """
        A mark is in flight from planning until its latest record is visible.
        """
        log.appended = [Append(Topic.EVENTS, b"", b"")] * 2
        in_flight.start(mark(1))
        in_flight.start(mark(1))
        assert not in_flight.is_durable(mark(1))

        in_flight.land(mark(1), at(1))
        in_flight.land(mark(1), at(0))
        log.fold(1)
        assert in_flight.is_durable(mark(1))

        log.fold(1)
        assert in_flight.get(mark(1)) is None

    def test_failed(self, log, in_flight):
        """
        After a failure a mark stays in flight until a later record of it is visible.
        """
        log.appended = [Append(Topic.EVENTS, b"", b"")]
        log.fold()
        in_flight.start(mark(1))
        in_flight.fail(mark(1))
        assert in_flight.get(mark(1)) is not None
        assert not in_flight.is_durable(mark(1))

        in_flight.start(mark(1))
        in_flight.land(mark(1), at(0))
        assert in_flight.get(mark(1)) is None

    def test_elsewhere(self, log, in_flight):
        """
        What another process has written is in flight, and nobody here knows what it says.
        """
        log.elsewhere = {(Topic.GROUP_UPDATES, b"1")}
        assert in_flight.get(mark(1)) is not None
        assert not in_flight.is_durable(mark(1))
        assert in_flight.get(mark(2)) is None

        log.elsewhere = set()
        assert in_flight.get(mark(1)) is None

    def test_full(self, in_flight):
        """
        When too much is in flight, the next is refused before memory grows.
        """
        for number in range(4):
            in_flight.start(mark(number))

        with pytest.raises(OverloadedError):
            in_flight.start(mark(4))

    def test_full_of_failures(self, in_flight):
        """
        What failed gives way to what comes.
        """
        for number in range(4):
            in_flight.start(mark(number))
            in_flight.fail(mark(number))

        assert in_flight.start(mark(4))

    def test_visible_ones_give_way(self, log, in_flight):
        """
        What has become visible is forgotten as more comes in.
        """
        log.appended = [Append(Topic.EVENTS, b"", b"")] * 100
        log.fold()
        for number in range(100):
            in_flight.start(mark(number))
            in_flight.land(mark(number), at(number))

        assert in_flight.get(mark(0)) is None

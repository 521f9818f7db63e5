"""Tables and views of topics that are no more."""

import pytest

from flagstream.errors import SettingsError
from flagstream.settings import Settings
from flagstream.transport.copies import drop_copies_of_others
from flagstream.transport.kafka_layout import Layout

FIRST = Layout(epoch=0, partitions=2, topics={"flagstream.events": "1"})
SECOND = Layout(epoch=1, partitions=2, topics={"flagstream.events": "2"})


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


def states(settings):
    return {path.parent.name for path in settings.data_dir.glob("*/state")}


@pytest.fixture
def filled(settings):
    """The settings of a node that has followed the first topics."""
    drop_copies_of_others(settings, FIRST)
    for name in ("tables", "views"):
        (settings.data_dir / name / "state").touch()
    return settings


class TestCopies:
    def test_of_the_same_topics_are_kept(self, filled):
        """
        A restart keeps what the node has.
        """
        drop_copies_of_others(filled, FIRST)

        assert {"tables", "views"} == states(filled)

    def test_of_other_topics_are_dropped(self, filled):
        """
        After a migration nothing is left that was read at offsets of before.
        """
        drop_copies_of_others(filled, SECOND)

        assert set() == states(filled)

    def test_of_unknown_topics_are_dropped(self, filled):
        """
        What does not say whose copy it is goes, as if it were another's.
        """
        (filled.data_dir / "views" / "layout.json").unlink()

        drop_copies_of_others(filled, FIRST)

        assert {"tables"} == states(filled)

    def test_a_directory_that_cannot_be_made(self, tmp_path):
        """
        A data directory that cannot be written is named.
        """
        (tmp_path / "file").touch()

        with pytest.raises(SettingsError, match=r"data_dir: .*file"):
            drop_copies_of_others(Settings(data_dir=tmp_path / "file"), FIRST)

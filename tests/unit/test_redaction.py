"""Records of logs, without what was sent."""

import asyncio
import logging

import pytest

from flagstream.errors import InvalidFieldError, LogUnavailableError
from flagstream.redaction import keep_values_out, report, without_values

MARK = "m4rk3d"


def raised(error, cause=None):
    """Raise an error, so that it knows from where."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


@pytest.fixture
def log(caplog):
    """What is logged where values are kept out."""
    make = logging.getLogRecordFactory()
    keep_values_out()
    logging.getLogger().addHandler(caplog.handler)

    yield caplog

    logging.getLogger().removeHandler(caplog.handler)
    logging.setLogRecordFactory(make)


class TestRedaction:
    @pytest.mark.parametrize(
        "error",
        [
            KeyError(MARK),
            ValueError(f"invalid literal: {MARK!r}"),
            InvalidFieldError("a", "b", MARK),
            UnicodeDecodeError("utf-8", MARK.encode(), 0, 1, MARK),
            ExceptionGroup(MARK, [KeyError(MARK), ValueError(MARK)]),
            raised(TypeError(MARK), cause=KeyError(MARK)),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_words_are_left_out(self, log, error):
        """
        Of what may quote values the log has the kind and the place, also of what led to it.
        """
        logging.getLogger("any").error("it broke", exc_info=raised(error))

        assert MARK not in log.text
        assert type(error).__name__ in log.text
        assert "in raised" in log.text

    @pytest.mark.parametrize(
        "error", [OSError(28, "No space left"), LogUnavailableError("the disk is full")]
    )
    def test_words_of_the_system_stay(self, log, error):
        """
        What the system and the log say stays: operators need it, and it quotes nothing.
        """
        logging.getLogger("any").error("it broke", exc_info=raised(error))

        assert str(error) in log.text

    def test_notes_and_causes(self):
        """
        What was added to an exception is left out as well; what led to it is named.
        """
        error = raised(KeyError(MARK), cause=ValueError(MARK))
        error.add_note(MARK)
        stand_in = without_values(error)

        assert "ValueError" == type(stand_in.__cause__).__name__
        assert not hasattr(stand_in, "__notes__")

    async def test_nobody_waited(self, log):
        """
        An error that nobody waited for is logged without arguments and results.
        """

        async def fail(value):
            raise RuntimeError(value)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        task = asyncio.create_task(fail(MARK))
        await asyncio.wait([task])
        del task

        assert "an error that nobody waited for" in log.text
        assert MARK not in log.text

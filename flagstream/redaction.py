"""What clients send, kept out of logs."""

import asyncio
import logging
from typing import Any

from flagstream.errors import FlagstreamError, RecordError, RequestError

logger = logging.getLogger(__name__)

_LEFT_OUT = "(what it says may quote what was sent)"
# Of the system and of storage: they name files, addresses and limits. Plain ones are RocksDB's.
_SAYING_NO_VALUES = (OSError, FlagstreamError, NotImplementedError, ImportError)
_QUOTING = (RequestError, RecordError, UnicodeError)


def keep_values_out() -> None:
    """
    Let no record of a log quote what was sent, from now on.

    Exceptions of most kinds quote the value that they stumbled over: of those the log has the type
    and the places in the code, and not the words.
    """
    make = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None:
            stand_in = without_values(record.exc_info[1])
            record.exc_info = type(stand_in), stand_in, stand_in.__traceback__
        return record

    logging.setLogRecordFactory(made)


def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody waited for; the event loop's own words quote arguments and results."""
    logger.error("an error that nobody waited for", exc_info=context.get("exception"))


def without_values(error: BaseException) -> BaseException:
    """Make an exception that says the same of *error*, and of what led to it, but for values."""
    if isinstance(error, BaseExceptionGroup):
        stand_in: BaseException = BaseExceptionGroup(
            _LEFT_OUT, [without_values(each) for each in error.exceptions]
        )
    else:
        kind = type(error)
        stand_in = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(_words(error))
    stand_in.__traceback__ = error.__traceback__
    if error.__cause__ is not None:
        stand_in.__cause__ = without_values(error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        stand_in.__context__ = without_values(error.__context__)
    return stand_in


def _words(error: BaseException) -> str:
    if isinstance(error, _QUOTING):
        return _LEFT_OUT
    if isinstance(error, _SAYING_NO_VALUES) or type(error) is Exception:
        return str(error)
    return _LEFT_OUT if str(error) else ""

"""How the process tells what happens: a line for each record, for people or for programs."""

import logging
import sys
from types import TracebackType

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from flagstream.settings import Settings

logger = logging.getLogger(__name__)

# They tell every step of every service: that is for who asks for everything.
_TALKATIVE = ("faust", "mode", "aiokafka", "flagstream.transport")
# At the level of debugging they tell of every message, and with it of what was sent: never wanted.
_QUOTING = ("aiokafka", "asyncio", "faust", "mode")
_NAMES = {"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"}


def configure(settings: Settings, process: str) -> None:
    """
    Send all records of this process to stderr: ours, those of libraries, warnings, defects.

    Args:
        process: Which one of several it is.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings, process))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.captureWarnings(capture=True)
    _quieten(logging.getLogger().level)
    # Python's own writes several lines, and quotes what the exception quotes.
    sys.excepthook = _tell_defect


def _quieten(wanted: int) -> None:
    """Let libraries tell no more than is good, and never more than the level that is *wanted*."""
    least: dict[str, int] = dict.fromkeys(_QUOTING, logging.INFO)
    if wanted > logging.DEBUG:
        least |= dict.fromkeys(_TALKATIVE, logging.WARNING)
    for name in {*_QUOTING, *_TALKATIVE}:
        logging.getLogger(name).setLevel(max(wanted, least.get(name, wanted)))


def _formatter(settings: Settings, process: str) -> logging.Formatter:
    if settings.log_format == "text":
        return _TextFormatter(f"%(asctime)s %(levelname)s {process} %(name)s: %(message)s")
    return OrjsonFormatter(
        "{levelname}{name}{message}",
        style="{",
        timestamp="time",
        rename_fields=_NAMES,
        static_fields={"process": process},
    )


class _TextFormatter(logging.Formatter):
    """Writes what a record has in ``extra`` behind its message, which stays one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        line = super().formatMessage(record).replace("\n", "\\n")
        facts = record.__dict__.items()
        return line + "".join(f" {name}={v!r}" for name, v in facts if name not in _NO_FACTS)


_NO_FACTS = {*RESERVED_ATTRS, "message", "asctime"}


def _tell_defect(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    logger.critical("Ended by a defect", exc_info=(kind, error, traceback))

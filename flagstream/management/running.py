"""Schedules carried out for as long as a process runs."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import random

from flagstream.errors import LogUnavailableError, UnavailableError

from .schedules import Due, Schedules

logger = logging.getLogger(__name__)

_LOOK_S = 1.0


async def carry_out(
    schedules: Schedules, is_ready: Callable[[], bool], *, every_s: float = _LOOK_S
) -> None:
    """
    Look every second what is due, and do it.

    Every process that answers does so. None waits for another, and what two do at once is the same;
    they start at odd times, so that as a rule one is done before the others look.
    """
    await asyncio.sleep(random() * every_s)  # noqa: S311 -- no secret
    while True:
        for due in _due(schedules) if is_ready() else ():
            await _advance(schedules, due)
        await asyncio.sleep(every_s)


def _due(schedules: Schedules) -> Sequence[Due]:
    try:
        return schedules.due()
    except Exception:
        logger.exception("schedules cannot be looked at")
        return ()


async def _advance(schedules: Schedules, due: Due) -> None:
    try:
        await schedules.advance(due)
    except (LogUnavailableError, UnavailableError):
        return  # The next look finds it again.
    except Exception:
        # Whatever is odd about one, the others go on.
        logger.exception("a schedule cannot go on", extra=due._asdict())

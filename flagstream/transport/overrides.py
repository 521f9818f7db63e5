"""Where we leave Faust's own paths: each can be switched off, and all need the known Faust."""

from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Self

from faust.tables import TableManager as StockTableManager

from flagstream.errors import SettingsError

_FAUST = "0.15."


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """
    The overrides of Faust's private functions that are for speed alone.

    Attributes:
        wake_on_drop: Fetch as soon as a stream's buffer drops, where Faust sleeps a second.
        direct_drain: Hand records to the streams in a loop, where Faust makes two tasks of each.
        direct_changelog: Append changelog records at once and save the newest offset per batch,
            where Faust sends each through a queue, a task and two futures; needs the
            :class:`flagstream.transport.table.DirectTable`.
    """

    wake_on_drop: bool = True
    direct_drain: bool = True
    direct_changelog: bool = True

    @classmethod
    def none(cls) -> Self:
        """Faust's own paths."""
        return cls(**{field.name: False for field in fields(cls)})


class TableManager(StockTableManager):
    """
    Starts at once, where Faust sleeps a second for agents to declare more tables.

    All tables are declared before the worker starts. To be given to ``faust.App``.
    """

    async def on_start(self) -> None:
        """Call when the service starts."""
        await self._update_channels()
        await self.recovery.start()


def check_faust() -> None:
    """
    Check that Faust is the one whose private functions are known here.

    Raises:
        SettingsError: Another Faust is installed.
    """
    found = version("faust-streaming")
    if not found.startswith(_FAUST):
        raise SettingsError(f"faust-streaming {found}: the drivers need {_FAUST}x")

"""The embedded log as a Faust transport: ``embedded:///DIR?fsync=interval``."""

from functools import partial
from typing import Any

from faust.stores import STORES
from faust.transport import base
from faust.transport.drivers import TRANSPORTS
from faust.types import TP

from flagstream.settings import Settings

from .consumer import Consumer
from .log import Log
from .options import LogOptions
from .overrides import Overrides, TableManager, check_faust
from .producer import Producer
from .registry import close_log, open_log
from .store import Store
from .table import EmbeddedTable

STORE_URL = "flagstream://"


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings for an app whose log is the embedded one of *settings*."""
    install()
    return {
        "broker": settings.embedded_url,
        "store": STORE_URL,
        "Table": EmbeddedTable,
        "TableManager": TableManager,
        "topic_partitions": settings.partitions,
        "topic_disable_leader": True,
        "broker_commit_interval": 0.2,
    }


def install() -> None:
    """Make Faust know ``embedded:`` brokers and ``flagstream:`` table stores by name."""
    check_faust()
    TRANSPORTS.aliases["embedded"] = f"{__name__}:{Transport.__name__}"
    STORES.aliases["flagstream"] = f"{Store.__module__}:{Store.__name__}"


class Transport(base.Transport):
    """
    Faust on the embedded log, in one process and on one event loop.

    Attributes:
        overrides: To be set before the app starts.
        changelogs: Tables by the name of their changelog.
    """

    Consumer = Consumer
    Producer = Producer
    driver_version = "flagstream"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_faust()
        self.overrides = Overrides()
        self.changelogs: dict[str, Any] = {}
        self._log: Log | None = None

    @property
    def log(self) -> Log:
        """The log, while the app runs."""
        if self._log is None:
            raise RuntimeError("the embedded log is open only while the app runs")
        return self._log

    def open(self) -> None:
        """Open the log, or share it with whoever has it open in this process."""
        self._log = open_log(LogOptions.from_url(str(self.url[0])))

    async def close(self) -> None:
        """Close the tables and give the log back; agents have stopped."""
        for store in self._stores():
            store.close()
        log, self._log = self.log, None
        await close_log(log)

    def listen(self) -> None:
        """Learn the tables, and have each saved as its changelog is written."""
        self.changelogs = {
            table.changelog_topic.get_topic_name(): table for table in self.app.tables.values()
        }
        if self.overrides.direct_changelog:
            for changelog, table in self.changelogs.items():
                self.log.listen(changelog, partial(_save, table, changelog))

    def takes_writes(self) -> bool:
        """Tell whether what follows from a source record could be written."""
        return self.log.is_available and all(store.is_saved() for store in self._stores())

    def _stores(self) -> list[Store]:
        stores = (table.data for table in self.changelogs.values())
        return [store for store in stores if isinstance(store, Store)]


def _save(table: Any, changelog: str, partition: int, offset: int, count: int) -> None:
    if isinstance(table.data, Store):
        table.data.save(partition, offset, count)
    else:
        table.data.set_persisted_offset(TP(changelog, partition), offset)

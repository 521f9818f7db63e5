"""Faust's table of bytes on the embedded log, without the detours of the general one."""

import time
from typing import TYPE_CHECKING, Any, cast

import faust

from .log import NewRecord
from .store import Store

if TYPE_CHECKING:
    from .embedded import Transport


class Table(faust.Table[bytes, bytes]):
    """
    A table whose changelog records go straight into the log. To be given to ``faust.App``.

    :meth:`flagstream.transport.embedded.Transport.listen` has the store save what was written.
    """

    def get(self, key: bytes, default: Any = None) -> Any:
        """Read a value; within an agent, from the partition of the event at hand."""
        store = self.data
        if not isinstance(store, Store):
            return super().get(key, default)
        value = store.read(key)
        return default if value is None else value

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Call when a key is about to be set."""
        if self._transport.overrides.direct_changelog:
            self._post(key, value)
        else:
            super().on_key_set(key, value)

    def on_key_del(self, key: bytes) -> None:
        """Call when a key is about to be deleted."""
        if self._transport.overrides.direct_changelog:
            self._post(key, None)
        else:
            super().on_key_del(key)

    @property
    def _transport(self) -> "Transport":
        return cast("Transport", self.app.transport)

    def _post(self, key: bytes, value: bytes | None) -> None:
        now_ms = time.time_ns() // 1_000_000
        partition = cast(int, self.partition_for_key(key))
        record = NewRecord(self.changelog_topic_name, partition, key, value, now_ms)
        self._transport.log.post(record)

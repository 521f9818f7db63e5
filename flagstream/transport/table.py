"""Faust's tables of bytes, without the detours of the general one."""

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, cast

import faust
from faust.types import TP

from .log import NewRecord
from .store import Store

if TYPE_CHECKING:
    from .embedded import Transport as EmbeddedTransport
    from .kafka_driver import Producer as KafkaProducer


class DirectTable(faust.Table[bytes, bytes]):
    """
    A table whose changelog records take the shortest way. To be given to ``faust.App``.

    Overrides of the transport say whether that way is taken or Faust's own.
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
        self.publish(cast(int, self.partition_for_key(key)), key, value)

    def on_key_del(self, key: bytes) -> None:
        """Call when a key is about to be deleted."""
        self.publish(cast(int, self.partition_for_key(key)), key, None)

    def publish(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Send a record to the changelog; the store saves the value once that is durable."""
        if cast(Any, self.app.transport).overrides.direct_changelog:
            self._post(TP(self.changelog_topic_name, partition), key, value)
        else:
            self.send_changelog(partition, key, value)

    @abstractmethod
    def _post(self, tp: TP, key: bytes, value: bytes | None) -> None: ...


class EmbeddedTable(DirectTable):
    """
    A table on the embedded log.

    :meth:`flagstream.transport.embedded.Transport.listen` has the store save what was written.
    """

    def _post(self, tp: TP, key: bytes, value: bytes | None) -> None:
        now_ms = time.time_ns() // 1_000_000
        record = NewRecord(tp.topic, tp.partition, key, value, now_ms)
        cast("EmbeddedTransport", self.app.transport).log.post(record)


class KafkaTable(DirectTable):
    """A table on Kafka; the producer has the store save what was written."""

    def _post(self, tp: TP, key: bytes, value: bytes | None) -> None:
        cast("KafkaProducer", self.app.producer).changelogs.post(tp, key, value)

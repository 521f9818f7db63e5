"""Who reads what: everything is assigned to the one member there is."""

import logging
from dataclasses import dataclass
from typing import Any, cast

from faust.assignor import PartitionAssignor
from faust.types import TP, AppT

from .log import Log

_MEMBER = "embedded"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Cluster:
    """The part of a Kafka cluster's metadata that the assignor reads."""

    log: Log

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.log.partitions(topic) if topic in self.log.topics() else 0))


def assign(app: AppT, log: Log, topics: set[str]) -> set[TP]:
    """
    Assign all partitions of *topics* to this process.

    Through Faust's assignor, because recovery, routing and global tables ask that one.
    """
    assignor = cast(PartitionAssignor, app.assignor)
    metadata = {_MEMBER: assignor.metadata(topics)}
    assignment = assignor.assign(cast(Any, _Cluster(log)), metadata)[_MEMBER]
    assignor.on_assignment(cast(Any, assignment))
    return {TP(topic, number) for topic, numbers in assignment.assignment for number in numbers}


def reset_tables_ahead(app: AppT, log: Log, assigned: set[TP]) -> None:
    """
    Reset tables that have seen more than the log has, so that they are rebuilt from it.

    That happens when a log is lost or restored from a copy while the tables' files stay, or
    when the power fails between syncs.
    """
    for table in app.tables.values():
        changelog = table.changelog_topic.get_topic_name()
        for tp in sorted(tp for tp in assigned if tp.topic == changelog):
            offset, end = table.persisted_offset(tp), log.partition(*tp).bounds.end
            if offset is not None and offset >= end:
                extra = {"table": table.name, "partition": tp.partition, "persisted": offset}
                logger.warning("A table is ahead of the log: rebuilt", extra={**extra, "end": end})
                table.reset_state()
                break

"""
What the cluster says of topics, their ids included.

A topic's id changes when it is deleted and created again under its name. The client library asks in
a version of the protocol without ids, and has topics created that are only asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import LeaderNotAvailableError, NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_ID = UUID(int=0)


class TopicState(NamedTuple):
    """
    A topic as it is.

    Attributes:
        copies: Number of replicas of each partition.
        has_leaders: Every partition can be written and read.
    """

    id: str
    copies: Sequence[int]
    has_leaders: bool


async def describe(
    admin: AIOKafkaAdminClient, names: Iterable[str], node_id: int | None = None
) -> Mapping[str, TopicState]:
    """
    Describe topics; those that do not exist are left out.

    Args:
        node_id: Who is asked; None for any node, which may be a little late.

    Raises:
        KafkaError: The cluster does not answer, or not for a topic.
    """
    request = _MetadataRequest(names)
    response = await admin._send_request(request, node_id)  # noqa: SLF001 -- no public way
    topics = {}
    for topic in response.to_object()["topics"]:
        error = for_code(topic["error_code"])
        # While a topic is made, its leaders are missing.
        if error in (NoError, LeaderNotAvailableError):
            topics[topic["name"]] = _state(topic)
        elif error is not UnknownTopicOrPartitionError:
            raise error(topic["name"])
    return topics


def _state(topic: Mapping[str, Any]) -> TopicState:
    partitions = topic["partitions"]
    return TopicState(
        topic["id"].hex,
        [len(partition["replicas"]) for partition in partitions],
        bool(partitions) and all(partition["leader"] >= 0 for partition in partitions),
    )


class _Uuid:
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse_v11(Response):  # type: ignore[misc]  # noqa: N801 -- an untyped library
    API_KEY = 3
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v11(RequestStruct):  # type: ignore[misc]  # noqa: N801 -- likewise
    API_KEY = 3
    API_VERSION = 11
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse_v11
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("id", _Uuid),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequest_v11]):  # type: ignore[misc]  # likewise
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def build(self, request_struct_class: type[_MetadataRequest_v11]) -> _MetadataRequest_v11:
        tags: Mapping[int, bytes] = {}
        return request_struct_class(
            topics=[(_NO_ID, name, tags) for name in self._names],
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=False,
            tags=tags,
        )

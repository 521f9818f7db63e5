"""Topics on Kafka: all made before the worker starts, and checked where they were there before."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from flagstream.errors import LogUnavailableError, SettingsError
from flagstream.settings import Settings
from flagstream.topics import TopicSpec, topic_specs

from .kafka import MAX_RECORD_BYTES
from .kafka_connection import connection

_LIMITS = {"max.message.bytes": str(MAX_RECORD_BYTES)}
# Compaction only: with deletion by age as well, a recovery that meets a hole can hang. Not within
# a day: a reader that was away for less still sees every state.
_COMPACTION = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(24 * 3_600_000)}
_TIMEOUT_S = 30.0
_POLL_S = 0.05


async def create_topics(settings: Settings) -> None:
    """
    Create the topics that are missing; return once each has a leader for every partition.

    Faust would make its changelogs itself, while its group starts, and then hang.

    Raises:
        SettingsError: A topic of the cluster has other partitions, another number of copies or
            another cleanup policy.
        LogUnavailableError: The cluster does not answer, or refuses to create a topic.
    """
    specs = tuple(topic_specs(settings.partitions))
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await admin.start()
            await _create_missing(admin, specs, settings)
            _check_layout(specs, await _wait_for_leaders(admin, specs), settings)
            _check_policies(specs, await _cleanup_policies(admin, specs))
    except (KafkaError, TimeoutError) as error:
        raise LogUnavailableError(f"{settings.broker_url}: no topics, {error!r}") from error
    finally:
        await admin.close()


async def _create_missing(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], settings: Settings
) -> None:
    # The setting is for all topics together, Kafka's is for one partition.
    retained = sum(spec.partitions for spec in specs if not spec.is_compacted)
    retention = {
        "cleanup.policy": "delete",
        "retention.ms": str(round(settings.retention_hours * 3_600_000)),
        "retention.bytes": str(settings.retention_bytes // retained),
    }
    topics = [
        NewTopic(
            spec.name,
            spec.partitions,
            settings.kafka_replication,
            topic_configs=_LIMITS | (_COMPACTION if spec.is_compacted else retention),
        )
        for spec in specs
    ]
    for name, code, message in (await admin.create_topics(topics)).topic_errors:
        if for_code(code) not in (NoError, TopicAlreadyExistsError):
            raise LogUnavailableError(f"{name}: Kafka does not create it: {message}")


async def _wait_for_leaders(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]
) -> Mapping[str, Sequence[int]]:
    """Return the number of copies of each partition, by topic, once all have a leader."""
    while True:
        topics = await admin.describe_topics([spec.name for spec in specs])
        if all(_has_leaders(topic) for topic in topics):
            return {
                topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]]
                for topic in topics
            }
        await asyncio.sleep(_POLL_S)


def _has_leaders(topic: Mapping[str, Any]) -> bool:
    partitions = topic["partitions"]
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


def _check_layout(
    specs: Sequence[TopicSpec], found: Mapping[str, Sequence[int]], settings: Settings
) -> None:
    wanted = settings.kafka_replication
    for spec in specs:
        copies = found[spec.name]
        if len(copies) != spec.partitions:
            raise SettingsError(
                f"partitions: topic {spec.name} has {len(copies)}, got {spec.partitions}"
            )
        if min(copies) != wanted:
            raise SettingsError(
                f"kafka_replication: topic {spec.name} has {min(copies)}, got {wanted}"
            )


async def _cleanup_policies(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]
) -> Mapping[str, str]:
    wanted = {"cleanup.policy": None}
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name, wanted) for spec in specs]
    return {
        name: value
        for response in await admin.describe_configs(resources)
        for _, _, _, name, [(_, value, *_), *_] in response.resources
    }


def _check_policies(specs: Sequence[TopicSpec], found: Mapping[str, str]) -> None:
    for spec in specs:
        wanted = "compact" if spec.is_compacted else "delete"
        if found[spec.name] != wanted:
            raise SettingsError(
                f"topic {spec.name}: cleanup.policy is {found[spec.name]}, expected {wanted}"
            )

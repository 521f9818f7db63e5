"""Topics on Kafka made and deleted, and what their group does."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from flagstream.errors import LogUnavailableError, SettingsError
from flagstream.settings import Settings
from flagstream.topics import APP_ID, TopicSpec

from .kafka import MAX_RECORD_BYTES
from .kafka_connection import connection, disconnected
from .kafka_metadata import TopicState, describe
from .options import topic_hours

_LIMITS = {"max.message.bytes": str(MAX_RECORD_BYTES)}
# Compaction only: with deletion by age as well, a recovery that meets a hole can hang. Not within
# a day: a reader that was away for less still sees every state.
_COMPACTION = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(24 * 3_600_000)}
_TIMEOUT_S = 30.0
_POLL_S = 0.05
_STARTING = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)


class Admin:
    """What changes topics; a change is in effect when its call returns."""

    def __init__(self, client: AIOKafkaAdminClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def create(self, specs: Sequence[TopicSpec]) -> Mapping[str, TopicState]:
        """
        Create the topics that are missing; return all once each partition has a leader.

        Raises:
            SettingsError: A topic has other partitions, another number of copies or another
                cleanup policy.
            LogUnavailableError: The cluster refuses to create a topic.
        """
        topics = [self._new_topic(spec, specs) for spec in specs]
        for name, code, message in (await self._client.create_topics(topics)).topic_errors:
            if for_code(code) not in (NoError, TopicAlreadyExistsError):
                raise LogUnavailableError(f"{name}: Kafka does not create it: {message}")
        found = await self._wait_for_leaders(specs)
        _check_partitions(specs, found)
        self.check_copies(found)
        _check_policies(specs, await self._cleanup_policies(specs))
        return found

    def _new_topic(self, spec: TopicSpec, specs: Sequence[TopicSpec]) -> NewTopic:
        # The setting is for all topics together, Kafka's is for one partition.
        retained = sum(spec.partitions for spec in specs if not spec.is_compacted)
        configs = _COMPACTION
        if not spec.is_compacted:
            hours = topic_hours(self._settings).get(spec.name, self._settings.retention_hours)
            configs = {
                "cleanup.policy": "delete",
                "retention.ms": str(round(hours * 3_600_000)),
                "retention.bytes": str(self._settings.retention_bytes // retained),
            }
        replication = self._settings.kafka_replication
        return NewTopic(spec.name, spec.partitions, replication, topic_configs=_LIMITS | configs)

    async def _wait_for_leaders(self, specs: Sequence[TopicSpec]) -> Mapping[str, TopicState]:
        while True:
            found = await self.describe([spec.name for spec in specs])
            if len(found) == len(specs) and all(topic.has_leaders for topic in found.values()):
                return found
            await asyncio.sleep(_POLL_S)

    async def _cleanup_policies(self, specs: Sequence[TopicSpec]) -> Mapping[str, str]:
        wanted = {"cleanup.policy": None}
        resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name, wanted) for spec in specs]
        return {
            name: value
            for response in await self._client.describe_configs(resources)
            for _, _, _, name, [(_, value, *_), *_] in response.resources
        }

    async def describe(self, names: Collection[str]) -> Mapping[str, TopicState]:
        """Describe the topics that exist."""
        return await describe(self._client, names)

    def check_copies(self, topics: Mapping[str, TopicState]) -> None:
        """
        Check that each partition is there as often as it should be.

        Raises:
            SettingsError: One is not.
        """
        wanted = self._settings.kafka_replication
        for name, topic in topics.items():
            if min(topic.copies) != wanted:
                raise SettingsError(
                    f"kafka_replication: topic {name} has {min(topic.copies)}, got {wanted}"
                )

    async def delete(self, names: Collection[str]) -> None:
        """Delete the topics that exist; return once no node knows them any more."""
        for name, code in (await self._client.delete_topics(list(names))).topic_error_codes:
            if for_code(code) not in (NoError, UnknownTopicOrPartitionError):
                raise for_code(code)(name)
        for node in (await self._client.describe_cluster())["brokers"]:
            await self._wait_until_gone(names, node["node_id"])

    async def _wait_until_gone(self, names: Collection[str], node_id: int) -> None:
        while True:
            if not await describe(self._client, names, node_id):
                return
            await asyncio.sleep(_POLL_S)

    async def members(self) -> int:
        """Count the workers that run, or have not been missed yet."""
        while True:
            try:
                [response] = await self._client.describe_consumer_groups([APP_ID])
                [(code, _, _, _, _, members, *_)] = response.groups
                if for_code(code) is NoError:
                    return len(members)
                raise for_code(code)(APP_ID)
            except _STARTING:
                await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def administering(
    settings: Settings, timeout_s: float | None = _TIMEOUT_S
) -> AsyncIterator[Admin]:
    """
    Connect for a task.

    Args:
        timeout_s: How long the task may take; None for ever.

    Raises:
        LogUnavailableError: The cluster does not answer, or not in time.
    """
    client = AIOKafkaAdminClient(**connection(settings))
    try:
        async with asyncio.timeout(timeout_s):
            await client.start()
            yield Admin(client, settings)
    except (KafkaError, TimeoutError) as error:
        raise LogUnavailableError(f"{settings.broker_url}: no topics, {error!r}") from error
    finally:
        await disconnected(client.close())


def _check_partitions(specs: Sequence[TopicSpec], found: Mapping[str, TopicState]) -> None:
    for spec in specs:
        count = len(found[spec.name].copies)
        if count != spec.partitions:
            raise SettingsError(
                f"partitions: topic {spec.name} has {count}, got {spec.partitions}; "
                "'flagstream topics migrate' places all keys anew"
            )


def _check_policies(specs: Sequence[TopicSpec], found: Mapping[str, str]) -> None:
    for spec in specs:
        wanted = "compact" if spec.is_compacted else "delete"
        if found[spec.name] != wanted:
            raise SettingsError(
                f"topic {spec.name}: cleanup.policy is {found[spec.name]}, expected {wanted}"
            )

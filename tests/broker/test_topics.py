"""Topics on a real Kafka."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from flagstream.errors import LogLayoutError, LogUnavailableError, SettingsError
from flagstream.ports import Append, TopicPartition
from flagstream.settings import Settings
from flagstream.topics import Table, Topic
from flagstream.transport.kafka import KafkaReader, KafkaSink, commit
from flagstream.transport.kafka_connection import bootstrap_servers, connection
from flagstream.transport.kafka_layout import META
from flagstream.transport.kafka_topics import create_topics

pytestmark = pytest.mark.broker
DAY_MS = 24 * 3_600_000


@pytest.fixture
async def admin(kafka):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers(kafka.url))
    await admin.start()

    yield admin

    await admin.close()


async def config_of(admin, topic):
    [described] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    [(_, _, _, _, entries)] = described.resources
    return {name: value for name, value, *_ in entries}


class TestCreateTopics:
    async def test_all_before_the_worker(self, kafka):
        """
        Every source topic and every changelog is there with its partitions, twice asked or once.
        """
        settings = Settings(broker_url=kafka.url, partitions=3)
        await create_topics(settings)
        await create_topics(settings)
        wanted = [*Topic, *(table.changelog for table in Table)]

        async with KafkaReader(connection(settings), 3) as reader:
            bounds = await reader.bounds(wanted)

        assert bounds == {(str(t), partition): (0, 0) for t in wanted for partition in range(3)}

    @pytest.mark.parametrize(
        "topic", [Topic.DEFINITIONS.value, *(table.changelog for table in Table)]
    )
    async def test_state_is_compacted_late(self, kafka, admin, topic):
        """
        State is compacted only, and a day later, so that slow readers see what lies between.
        """
        await create_topics(Settings(broker_url=kafka.url))

        config = await config_of(admin, topic)

        assert ("compact", DAY_MS) == (
            config["cleanup.policy"],
            int(config["min.compaction.lag.ms"]),
        )

    async def test_sources_are_retained_as_set(self, kafka, admin):
        """
        Source topics are deleted by the age and, all together, the size of the settings; the
        updates of groups stay for as long as it can be told how groups were.
        """
        days = {"history_days": 1, "retention_hours": 2}
        await create_topics(
            Settings(broker_url=kafka.url, retention_bytes=32_000, partitions=4, **days)
        )

        configs = [await config_of(admin, each) for each in (Topic.EVENTS, Topic.GROUP_UPDATES)]

        assert [("delete", "7200000", "1000"), ("delete", "86400000", "1000")] == [
            (config["cleanup.policy"], config["retention.ms"], config["retention.bytes"])
            for config in configs
        ]

    async def test_partition_mismatch_is_named(self, kafka):
        """
        Other partitions than the cluster's stop the start, naming found, wanted and the repair.
        """
        await create_topics(Settings(broker_url=kafka.url, partitions=2))

        with pytest.raises(SettingsError, match=r"partitions: .* 2, got 3; .*topics migrate"):
            await create_topics(Settings(broker_url=kafka.url, partitions=3))

    async def test_added_partitions_are_named(self, kafka, admin):
        """
        A topic that was given more partitions stops the start, with the setting as it was and as
        it is now: the keys would lie in other partitions than their states.
        """
        settings = Settings(broker_url=kafka.url, partitions=2)
        await create_topics(settings)
        await admin.create_partitions({Topic.GROUP_UPDATES.value: NewPartitions(3)})

        with pytest.raises(SettingsError, match=r"group-updates has 3, got 2; .*topics migrate"):
            await create_topics(settings)

    @pytest.mark.parametrize("topic", [Topic.GROUP_UPDATES.value, Table.GROUPS.changelog])
    async def test_a_topic_made_anew(self, kafka, admin, topic):
        """
        A topic that was deleted and created again stops the start: its offsets begin anew.
        """
        settings = Settings(broker_url=kafka.url)
        await create_topics(settings)
        await admin.delete_topics([topic])

        with pytest.raises(LogLayoutError, match=rf"{topic}: made anew .*topics migrate"):
            await create_topics(settings)

    async def test_a_topic_that_lost_its_end(self, kafka):
        """
        A topic that ends before what was folded of it stops the start.
        """
        settings = Settings(broker_url=kafka.url)
        await create_topics(settings)
        await commit(connection(settings), {TopicPartition(Topic.GROUP_UPDATES.value, 1): 5})

        with pytest.raises(LogLayoutError, match=r"group-updates/1: ends at 0 .* up to 5"):
            await create_topics(settings)

    async def test_records_of_an_unknown_epoch(self, kafka, admin):
        """
        Topics with records stop the start when nothing tells their epoch any more.
        """
        settings = Settings(broker_url=kafka.url)
        await create_topics(settings)
        async with KafkaSink(connection(settings), settings.partitions) as sink:
            await sink.append([Append(Topic.EVENTS, b"key", b"value")])
        await admin.delete_topics([META.name])

        with pytest.raises(LogLayoutError, match=r"^flagstream\.events: made anew"):
            await create_topics(settings)

    async def test_two_at_once(self, kafka):
        """
        Nodes that start together on an empty cluster agree on what the topics are.
        """
        settings = Settings(broker_url=kafka.url)

        first, second = await asyncio.gather(create_topics(settings), create_topics(settings))

        assert first == second == await create_topics(settings)

    async def test_replication_mismatch_is_named(self, kafka):
        """
        Another number of copies than the cluster's stops the start, likewise.
        """
        await create_topics(Settings(broker_url=kafka.url, kafka_replication=1))

        with pytest.raises(SettingsError, match=r"kafka_replication: .* has 1, got 2"):
            await create_topics(Settings(broker_url=kafka.url, kafka_replication=2))

    async def test_lossy_changelog_is_refused(self, kafka, admin):
        """
        A changelog that the cluster deletes by age stops the start.
        """
        await admin.create_topics([NewTopic(Table.GROUPS.changelog, 4, 1)])

        with pytest.raises(SettingsError, match=r"groups-changelog: cleanup\.policy is delete"):
            await create_topics(Settings(broker_url=kafka.url))

    async def test_too_few_nodes_is_named(self, kafka):
        """
        More replicas than nodes stop the start with Kafka's own reason.
        """
        with pytest.raises(LogUnavailableError, match="replication factor"):
            await create_topics(Settings(broker_url=kafka.url, kafka_replication=3))

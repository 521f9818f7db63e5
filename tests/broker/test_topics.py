"""Topics on a real Kafka."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from flagstream.errors import LogUnavailableError, SettingsError
from flagstream.settings import Settings
from flagstream.topics import Table, Topic
from flagstream.transport.kafka import KafkaReader
from flagstream.transport.kafka_connection import bootstrap_servers, connection
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
        Source topics are deleted by the age and, all together, the size of the settings.
        """
        await create_topics(
            Settings(broker_url=kafka.url, retention_hours=2, retention_bytes=24_000, partitions=4)
        )

        config = await config_of(admin, Topic.GROUP_UPDATES)

        assert ("delete", "7200000", "1000") == (
            config["cleanup.policy"],
            config["retention.ms"],
            config["retention.bytes"],
        )

    async def test_partition_mismatch_is_named(self, kafka):
        """
        Other partitions than the cluster's stop the start, naming topic, found and wanted.
        """
        await create_topics(Settings(broker_url=kafka.url, partitions=2))

        with pytest.raises(SettingsError, match=r"partitions: .*flagstream\.events has 2, got 3"):
            await create_topics(Settings(broker_url=kafka.url, partitions=3))

    async def test_replication_mismatch_is_named(self, kafka):
        """
        Another number of copies than the cluster's stops the start, likewise.
        """
        await create_topics(Settings(broker_url=kafka.url, kafka_replication=1))

        with pytest.raises(SettingsError, match=r"kafka_replication: .*events has 1, got 2"):
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

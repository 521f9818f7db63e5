"""The compose file starts flagstream with settings that it takes."""

from pathlib import Path

import pytest
import yaml

from flagstream.settings import ENVIRONMENT_PREFIX, load_settings

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "config/compose.yaml").read_text())["services"]
OURS = {
    name: service["environment"]
    for name, service in SERVICES.items()
    if any(variable.startswith(ENVIRONMENT_PREFIX) for variable in service.get("environment", {}))
}
KEYS = {"project_token": "phc_tests", "secret_key": "phs_tests"}


def settings(environment):
    """Load a service's settings, with the keys that the operator has to give."""
    given = {
        name: value
        for name, value in environment.items()
        if name.removeprefix(ENVIRONMENT_PREFIX).lower() not in KEYS
    }
    return load_settings({}, given, KEYS)


class TestCompose:
    def test_roles(self):
        """
        There are two workers and two API nodes.
        """
        roles = sorted(settings(environment).role for environment in OURS.values())

        assert ["api", "api", "worker", "worker"] == roles

    @pytest.mark.parametrize("environment", OURS.values(), ids=OURS)
    def test_settings(self, environment):
        """
        Every variable is a setting; the brokers are those of the file, and as many as copies.
        """
        taken = settings(environment)
        hosts = [url.removeprefix("kafka://").split(":")[0] for url in taken.broker_url.split(";")]

        assert hosts == [name for name in SERVICES if name.startswith("kafka-")]
        assert len(hosts) == taken.kafka_replication

    def test_data_is_nobody_elses(self):
        """
        Every process has a volume of its own.
        """
        volumes = [v for service in SERVICES.values() for v in service.get("volumes", ())]

        assert len(volumes) == len(set(volumes)) == len(OURS) + 3

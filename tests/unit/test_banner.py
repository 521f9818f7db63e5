"""The banner: what a newcomer reads first."""

import itertools
import json
import re
import shlex

import pytest

from flagstream.banner import banner, server_url, worker_banner
from flagstream.keys import operator_key
from flagstream.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path)


class TestBanner:
    def test_says_where(self, settings, tmp_path):
        """
        Address, token and data are there, and where the operator's key is.
        """
        text = banner(settings, "phc_x", 4321)

        assert re.search(r"ready at http://127\.0\.0\.1:4321$", text, re.MULTILINE)
        assert re.search(r"project token +phc_x$", text, re.MULTILINE)
        assert re.search(
            rf"operator key +in {tmp_path}/operator\.key, while it runs$", text, re.MULTILINE
        )
        assert re.search(rf"data +{tmp_path}$", text, re.MULTILINE)

    def test_kafka(self, settings):
        """
        With Kafka the data is where the broker is.
        """
        settings = settings.model_copy(update={"broker_url": "kafka://kafka:9092"})

        assert re.search(r"data +kafka://kafka:9092$", banner(settings, "phc_x", 1), re.MULTILINE)

    def test_worker(self, tmp_path):
        """
        A process that only folds says of which log, and where its health is.
        """
        settings = Settings(data_dir=tmp_path, broker_url="kafka://kafka:9092", role="worker")
        text = worker_banner(settings, 4321)

        assert "kafka://kafka:9092" in text
        assert "http://127.0.0.1:4321/_readiness" in text

    def test_keeps_the_secret(self, tmp_path):
        """
        The operator's key itself is never shown, whether it is set or not.
        """
        given = Settings(data_dir=tmp_path, secret_key="phs_very_secret")
        made = Settings(data_dir=tmp_path)

        with operator_key(made) as key:
            assert "phs_very_secret" not in banner(given, "phc_x", 1)
            assert key not in banner(made, "phc_x", 1)

    def test_commands(self, settings):
        """
        The three commands are whole: a shell splits them, and their bodies are JSON.
        """
        _, commands = banner(settings, "phc_x", 4321).split("Try it:")
        words = shlex.split(commands, comments=True)
        bodies = [json.loads(word) for before, word in itertools.pairwise(words) if before == "-d"]

        assert 3 == words.count("curl")
        assert [{"organization": "acme"}] * 2 == [
            body.get("groups", body.get("properties", {}).get("$groups")) for body in bodies
        ]


class TestServerUrl:
    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "http://127.0.0.1:80"),
            ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 -- nothing is bound
            ("::", "http://[::1]:80"),
            ("::1", "http://[::1]:80"),
            ("flags.example", "http://flags.example:80"),
        ],
    )
    def test_reachable(self, host, url):
        """
        An address that means every interface is written as one that can be dialled.
        """
        assert url == server_url(Settings(host=host), 80)

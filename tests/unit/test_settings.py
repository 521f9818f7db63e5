"""Settings from file, environment and options; and the file that describes them."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from flagstream.errors import SettingsError
from flagstream.settings import Settings, load_settings

DESCRIPTION = Path(__file__).parents[2] / "config" / "flagstream.toml"


class TestLoad:
    def test_order(self):
        """
        Options go before the environment, and that goes before the file.
        """
        settings = load_settings(
            {"port": 1, "host": "file", "log_level": "debug"},
            {"FLAGSTREAM_PORT": "2", "FLAGSTREAM_HOST": "environment", "HOME": "elsewhere"},
            {"port": 3},
        )

        assert (3, "environment", "debug") == (settings.port, settings.host, settings.log_level)

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ({"secret_kye": "phs_x"}, r"^secret_kye: there is no such setting, got a secret$"),
            ({"prot": 1}, r"^prot: there is no such setting, got 1$"),
            ({"port": 99_999}, r"^port: .* 65535, got 99999$"),
            ({"port": "http"}, r"^port: .*integer.*, got 'http'$"),
            ({"broker_url": "amqp://x"}, r"^broker_url: .*, got 'amqp://x'$"),
            ({"embedded_fsync": "maybe"}, r"^embedded_fsync: .*, got 'maybe'$"),
            ({"kafka_security": "tls"}, r"^kafka_security: .*, got 'tls'$"),
            (
                {"kafka_security": "sasl_ssl"},
                r"^kafka_username: expected one.*, got ''\nkafka_password: expected one.* secret$",
            ),
            ({"role": "worker"}, r"^role: expected all, as the embedded log .*, got 'worker'$"),
            (
                {"role": "api", "broker_url": "kafka://x"},
                r"^role: expected project_token and secret_key with it, .*, got 'api'$",
            ),
            (
                {"api_processes": 2, "broker_url": "kafka://x"},
                r"^api_processes: expected 0 on Kafka, where more nodes .*, got 2$",
            ),
            ({"api_processes": -1}, r"^api_processes: .*, got -1$"),
            ({"project_token": "x"}, r"^project_token: .*, got 'x'$"),
            ({"max_lag_s": 0, "partitions": 0}, r"^partitions: .*, got 0\nmax_lag_s: .*, got 0$"),
        ],
    )
    def test_wrong(self, source, said):
        """
        Every wrong setting is named with its value.
        """
        with pytest.raises(SettingsError, match=said):
            load_settings(source, {}, {})

    def test_disclosed(self):
        """
        What a process of our own is given comes to the same settings, secrets included.
        """
        settings = Settings(secret_key="phs_x", port=1, data_dir=Path("elsewhere"))

        assert settings == Settings.model_validate(settings.disclosed())

    def test_wrong_secret(self):
        """
        A secret that is wrong is named, and not shown.
        """
        with pytest.raises(SettingsError, match=r"^secret_key: .*, got a secret$"):
            load_settings({"secret_key": ["phs_x"]}, {}, {})

    def test_unknown_in_environment(self):
        """
        A misspelt variable stops the start as a misspelt line of the file does.
        """
        with pytest.raises(SettingsError, match=r"^prot: there is no such setting, got '1'$"):
            load_settings({}, {"FLAGSTREAM_PROT": "1"}, {})


class TestDescription:
    def test_complete(self):
        """
        The file names every setting with its default, in order, and nothing else.
        """
        described = tomllib.loads(DESCRIPTION.read_text())

        assert Settings().model_dump() == load_settings(described, {}, {}).model_dump()
        assert list(Settings.model_fields) == list(described)

    def test_commented(self):
        """
        A comment stands directly above every setting.
        """
        lines = DESCRIPTION.read_text().splitlines()
        above = {
            setting[1]: before
            for before, line in itertools.pairwise(lines)
            if (setting := re.match(r"(\w+) = ", line))
        }

        assert set(Settings.model_fields) == above.keys()
        assert all(before.startswith("# ") for before in above.values()), above

    @pytest.mark.parametrize(
        ("suffix", "unit"),
        [
            ("_ms", "in milliseconds"),
            ("_s", "in seconds"),
            ("_hours", "in hours"),
            ("_days", "in days"),
            ("_bytes", "in bytes"),
            ("_per_s", "a second"),
        ],
    )
    def test_units(self, suffix, unit):
        """
        What a setting's name says of its unit, its comment spells out.
        """
        comments = re.findall(
            rf"((?:^# .*\n)+)\w+(?<!_per){suffix} = ", DESCRIPTION.read_text(), re.MULTILINE
        )

        assert comments
        assert all(unit in comment for comment in comments), comments

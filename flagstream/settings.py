"""Settings: read once at start, from a file, the environment and the command line."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote as quote_path

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from flagstream.errors import SettingsError, quote

ENVIRONMENT_PREFIX = "FLAGSTREAM_"
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
PerSecond = Annotated[float, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]
# A record on Kafka takes 4 MB, and a dead letter carries another in base64.
_LARGEST_BYTES = 3_000_000
Network = IPv4Network | IPv6Network


class Settings(BaseModel):
    """
    Every setting, with its unit in its name. ``config/flagstream.toml`` describes each.

    Attributes:
        otlp_endpoint: Of a collector of traces, ``http://host:4318``; empty for none.
        trace_sample_ratio: Of requests, in ``0`` to ``1``.
        admin_port: Where everything is answered, while *port* is for what browsers and capturing
            backends ask; 0 for *port* alone.
        posthog_js_dir: Of the npm package, which is served to pages; empty for none.
        broker_url: ``kafka://host:port[;…]``; empty for the embedded log in *data_dir*.
        api_processes: How many answer requests beside the one that folds; 0 where it does both.
        role: ``worker`` folds and answers nothing but how it is, ``api`` answers and folds nothing.
        kafka_security: How the brokers are reached, by TLS and with a name and password or not.
        kafka_ca_file: PEM of who signs the brokers' certificates; empty for the system's.
        kafka_certificate_file: PEM of our own certificate and its key; empty for none.
        embedded_fsync: When the embedded log is synced to disk. ``interval`` risks at most
            *embedded_fsync_interval_ms* of acknowledged events on loss of power, none on a crash.
        project_token: Of the first project; made once and kept in *data_dir* where empty.
        secret_key: The operator's, of all projects; each run has one of its own besides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 0
    data_dir: Path = Path("data")
    project_token: Annotated[str, Field(pattern=r"^(phc_[A-Za-z0-9_-]+)?$")] = ""
    secret_key: SecretStr = SecretStr("")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    otlp_endpoint: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    posthog_js_dir: str = ""

    broker_url: Annotated[str, Field(pattern=r"^(kafka://.+)?$")] = ""
    role: Annotated[Literal["all", "worker", "api"], Field(validate_default=True)] = "all"
    api_processes: Annotated[int, Field(ge=0, le=64)] = 0
    kafka_replication: Count = 1
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: Annotated[str, Field(validate_default=True)] = ""
    kafka_password: Annotated[SecretStr, Field(validate_default=True)] = SecretStr("")
    kafka_ca_file: str = ""
    kafka_certificate_file: str = ""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    embedded_fsync: Literal["interval", "always", "never"] = "interval"
    embedded_fsync_interval_ms: Count = 50
    retention_hours: Seconds = 168
    retention_bytes: Bytes = 10_737_418_240

    trusted_proxies: tuple[Network, ...] = ()
    max_connections: Count = 4_096
    max_connections_per_address: Annotated[int, Field(ge=0)] = 0
    head_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 60.0
    idle_timeout_s: Seconds = 130.0
    max_body_bytes: Bytes = 20_971_520
    max_event_body_bytes: Bytes = 2_097_152
    max_bodies_bytes: Bytes = 268_435_456
    max_json_depth: Count = 64
    max_event_bytes: Annotated[int, Field(ge=1, le=_LARGEST_BYTES)] = 1_048_576
    max_properties: Count = 1_000
    max_property_depth: Count = 32
    max_state_bytes: Annotated[int, Field(ge=1, le=_LARGEST_BYTES)] = 1_048_576
    max_events_per_s: PerSecond = 10_000
    max_flag_requests_per_s: PerSecond = 10_000
    max_api_requests_per_s: PerSecond = 200
    max_definition_requests_per_s: PerSecond = 10
    rate_burst_s: Seconds = 10
    max_lag_changes: Count = 50_000
    max_lag_s: Seconds = 2.0
    kafka_max_lag_s: Seconds = 30.0
    kafka_max_stall_s: Seconds = 120.0
    wait_timeout_s: Seconds = 2.0
    stop_timeout_s: Seconds = 8.0
    deduplicate_hours: Seconds = 24
    active_groups_ttl_days: Seconds = 30
    view_cache_entries: Count = 100_000

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        """Take a list for what it is, and a text for one with commas."""
        if not isinstance(value, str):
            return value
        return [each.strip() for each in value.split(",") if each.strip()]

    @field_validator("role")
    @classmethod
    def _is_possible(cls, value: str, info: ValidationInfo) -> str:
        if value != "all" and not info.data.get("broker_url"):
            raise PydanticCustomError("alone", "expected all, as the embedded log has one process")
        if value == "api" and not (info.data.get("project_token") and info.data.get("secret_key")):
            raise PydanticCustomError(
                "unshared", "expected project_token and secret_key with it, the same on every node"
            )
        return value

    @field_validator("api_processes")
    @classmethod
    def _is_embedded(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("broker_url"):
            raise PydanticCustomError(
                "shared", "expected 0 on Kafka, where more nodes of role api do the same"
            )
        return value

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _given_with_sasl(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        is_sasl = info.data.get("kafka_security", "").startswith("sasl")
        if is_sasl and not value:
            raise PydanticCustomError("missing", "expected one, as kafka_security is of SASL")
        return value

    def disclosed(self) -> dict[str, Any]:
        """Every setting as JSON has it, secrets included: for a process of our own."""
        secrets = {name: value for name, value in self if isinstance(value, SecretStr)}
        return self.model_dump(mode="json") | {
            name: value.get_secret_value() for name, value in secrets.items()
        }

    @property
    def embedded_url(self) -> str:
        """The URL of the embedded log in the data directory."""
        directory = quote_path(str((self.data_dir / "log").absolute()))
        return f"embedded://{directory}?fsync={self.embedded_fsync}"


def load_settings(
    file: Mapping[str, Any], environment: Mapping[str, str], options: Mapping[str, Any]
) -> Settings:
    """
    Merge the sources: options go before the environment, that goes before the file.

    Args:
        environment: Only names with :data:`ENVIRONMENT_PREFIX` are looked at.

    Raises:
        SettingsError: Naming every setting that is unknown or wrong, with its value.
    """
    from_environment = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    try:
        return Settings.model_validate({**file, **from_environment, **options})
    except ValidationError as error:
        raise SettingsError("\n".join(map(_describe, error.errors()))) from None


def _describe(problem: Mapping[str, Any]) -> str:
    name = ".".join(map(str, problem["loc"]))
    # Also where the name is misspelt.
    got = "a secret" if "secret" in name or "password" in name else quote(problem["input"])
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such setting, got {got}"
    return f"{name}: {problem['msg']}, got {got}"

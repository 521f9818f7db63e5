"""How the embedded log is kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from flagstream.errors import SettingsError
from flagstream.settings import Settings
from flagstream.topics import Topic


class LogOptions(BaseModel):
    """
    How a log is kept; see :class:`flagstream.settings.Settings` for each.

    Attributes:
        retention_bytes: Of all topics together that are not compacted.
        topic_hours: By topic, the retention of those that are kept for another time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    fsync: Literal["interval", "always", "never"] = "interval"
    fsync_interval_ms: int = 50
    retention_hours: float = 168
    retention_bytes: int = 10_737_418_240
    topic_hours: Mapping[str, float] = {}

    @classmethod
    def from_url(cls, url: str) -> "LogOptions":
        """
        Read ``embedded:///DIR?fsync=always``.

        Raises:
            SettingsError: Naming the part that is wrong.
        """
        parts = urlsplit(url)
        if parts.netloc or not parts.path.startswith("/"):
            raise SettingsError(f"{url}: expected embedded:///DIR with an absolute directory")
        options: dict[str, Any] = dict(parse_qsl(parts.query))
        try:
            return cls(directory=Path(unquote(parts.path)), **options)
        except ValidationError as error:
            raise SettingsError(f"{url}: {error}") from None


def topic_hours(settings: Settings) -> Mapping[str, float]:
    """Tell by topic which are kept for another time than ``retention_hours``."""
    history_hours = settings.history_days * 24
    return {Topic.GROUP_UPDATES.value: max(settings.retention_hours, history_hours)}

"""Everything behind HTTP, faked at the ports, in the hands of a test."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from flagstream.api import Services
from flagstream.census import Previews
from flagstream.rates import Rates
from flagstream.routes.channels import KEY_BYTES
from flagstream.settings import Settings
from tests.fakes.access import FakeCallers, FakeProjects
from tests.fakes.log import FakeLog
from tests.fakes.views import (
    FakeAdmission,
    FakeCatalog,
    FakeChanges,
    FakeDeadLetters,
    FakeDefinitionsLog,
    FakeHistory,
    FakeSeen,
    FakeView,
    FakeWarnings,
)

NOW_MS = 1_764_000_000_000


@dataclass
class World:
    """
    What a test arranges before it asks.

    Attributes:
        now_s: On the monotonic clock, where that is to stand still.
    """

    catalog: FakeCatalog = field(default_factory=lambda: FakeCatalog("company", "project"))
    view: FakeView = field(default_factory=FakeView)
    changes: FakeChanges = field(default_factory=FakeChanges)
    dead_letters: FakeDeadLetters = field(default_factory=FakeDeadLetters)
    admission: FakeAdmission = field(default_factory=FakeAdmission)
    warnings: FakeWarnings = field(default_factory=FakeWarnings)
    access: FakeProjects = field(default_factory=FakeProjects)
    topics: FakeLog = field(default_factory=lambda: FakeLog(partitions=3))
    settings: Settings = field(default_factory=Settings)
    is_ready: bool = True
    now_s: float = 0.0
    history: FakeHistory = field(default_factory=FakeHistory)
    views: Path = Path(os.devnull)

    def __post_init__(self) -> None:
        self.log = FakeDefinitionsLog(self.catalog, self.view, self.access)
        self.access.now_ms = NOW_MS

    def services(self) -> Services:
        return Services(
            settings=self.settings,
            sink=self.log,
            reader=self.topics,
            view=self.view,
            catalog=self.catalog,
            changes=self.changes,
            progress=self.log,
            admission=self.admission,
            projects=self.access,
            secret_keys=self.access,
            callers=FakeCallers(self.access, self.log, self.settings.wait_timeout_s),
            dead_letters=self.dead_letters,
            warnings=self.warnings,
            rates=Rates(self.settings, self.warnings, clock_s=lambda: self.now_s or monotonic()),
            seen=FakeSeen(),
            previews=Previews(self.views),
            history=self.history,
            is_ready=lambda: self.is_ready,
            clock_ms=lambda: self.access.now_ms,
            channel_key=bytes(KEY_BYTES),
        )

"""Samples of what was refused, for whoever runs a project."""

from collections import deque
from collections.abc import Sequence

from flagstream.ports import IngestionWarning

_MAX_SAMPLES = 100
_MAX_PROJECTS = 1_000


class WarningSamples:
    """The latest warnings of each project, in memory; telemetry counts them all."""

    def __init__(self) -> None:
        self._samples: dict[int, deque[IngestionWarning]] = {}

    def add(self, project_id: int, warning: IngestionWarning) -> None:
        """Keep a sample; the oldest give way."""
        samples = self._samples.get(project_id)
        if samples is None:
            if len(self._samples) >= _MAX_PROJECTS:
                del self._samples[next(iter(self._samples))]
            samples = self._samples[project_id] = deque(maxlen=_MAX_SAMPLES)
        samples.append(warning)

    def latest(self, project_id: int) -> Sequence[IngestionWarning]:
        """Read the samples that are kept, newest first."""
        return tuple(reversed(self._samples.get(project_id, ())))

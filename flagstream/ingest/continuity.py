"""Hash keys: the ids that persons stay bucketed by once they are identified."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import NamedTuple

from flagstream.ports import Admission, Append, Position, Progress, RecordSink, StateView
from flagstream.state.persons import PersonUpdate
from flagstream.topics import Topic, record_key

from .in_flight import InFlight, Mark
from .retries import Outcome, settled

_MAX_FLAG_KEYS = 1_000


class _Lack(NamedTuple):
    """
    What a view does not show of a person.

    Attributes:
        flag_keys: Of the flags that it has no hash key for.
    """

    mark: Mark
    flag_keys: Collection[str]


class Continuity:
    """
    Remembers, by person and flag, the id that the person was bucketed by before it was identified.

    The first such hash key stays, whoever writes it: where two are written at a time, the order of
    the log decides.
    """

    def __init__(
        self,
        view: StateView,
        sink: RecordSink,
        progress: Progress,
        admission: Admission,
        *,
        clock_ms: Callable[[], int],
        wait_timeout_s: float,
    ) -> None:
        self._view = view
        self._sink = sink
        self._progress = progress
        self._admission = admission
        self._clock_ms = clock_ms
        self._wait_timeout_s = wait_timeout_s
        self._in_flight = InFlight(progress)
        self._writes: dict[Mark, Outcome] = {}

    def lacks(
        self, project_id: int, distinct_id: str, anon_distinct_id: str, flag_keys: Collection[str]
    ) -> bool:
        """Tell whether :meth:`remember` has anything to do: one read of the view, no await."""
        return self._lack(project_id, distinct_id, anon_distinct_id, flag_keys) is not None

    async def remember(
        self, project_id: int, distinct_id: str, anon_distinct_id: str, flag_keys: Collection[str]
    ) -> None:
        """
        Let a person stay bucketed by *anon_distinct_id* under the flags it has no hash key for.

        Returns once the views show it, or when the time to wait is over: then it is durable at
        least. Of more than 1,000 flags the first are written, and the others with a later request.

        Raises:
            LogUnavailableError: The log takes no writes now; nothing may be acknowledged.
            OverloadedError: The agents lag too far behind.
            UnavailableError: The server is recovering or stopping.
        """
        asked = (project_id, distinct_id, anon_distinct_id, flag_keys)
        lack = self._lack(*asked)
        while lack is not None and (write := self._writes.get(lack.mark)) is not None:
            # Another request writes for this person: perhaps the very same, or it fails for all.
            await settled(write)
            lack = self._lack(*asked)
        position = None if lack is None else await self._written(lack, anon_distinct_id)
        if position is not None:
            await self._progress.wait_visible([position], self._wait_timeout_s)

    def _lack(
        self, project_id: int, distinct_id: str, anon_distinct_id: str, flag_keys: Collection[str]
    ) -> _Lack | None:
        if not distinct_id or anon_distinct_id in ("", distinct_id) or not flag_keys:
            return None
        # A page asks for flags before its own `$identify` is folded, so the person may be unknown.
        person = self._view.person(project_id, distinct_id)
        root, known = (
            (distinct_id, ()) if person is None else (person.distinct_id, person.hash_keys)
        )
        lacking = [each for each in flag_keys if each not in known]
        key = record_key(project_id, root)
        return _Lack(Mark(Topic.PERSON_UPDATES, key), lacking) if lacking else None

    async def _written(self, lack: _Lack, anon_distinct_id: str) -> Position | None:
        """Write what is not on its way; return what to wait for, None where all is visible."""
        coming = self._coming(lack.mark)
        news = islice((each for each in lack.flag_keys if each not in coming), _MAX_FLAG_KEYS)
        hash_keys = dict.fromkeys(news, anon_distinct_id)
        if hash_keys:
            self._admission.admit()
            await self._append(lack.mark, hash_keys)
        flight = self._in_flight.get(lack.mark)
        return None if flight is None else flight.last

    def _coming(self, mark: Mark) -> Collection[str]:
        """Read the flags whose hash keys are in the log for certain, though not in the view."""
        flight = self._in_flight.get(mark) if self._in_flight.is_durable(mark) else None
        return () if flight is None or flight.person is None else flight.person.hash_keys

    async def _append(self, mark: Mark, hash_keys: Mapping[str, str]) -> None:
        update = PersonUpdate(time_ms=self._clock_ms(), hash_keys=dict(hash_keys))
        self._in_flight.start(mark)
        write = self._writes[mark] = asyncio.get_running_loop().create_future()
        try:
            positions = await self._sink.append([Append(mark.topic, mark.key, update.to_bytes())])
        except BaseException:
            self._in_flight.fail(mark)
            write.set_result(None)
            raise
        else:
            self._in_flight.land(mark, positions[0], update)
            write.set_result(positions)
        finally:
            del self._writes[mark]

"""``flagstream`` with bugs: whatever is about what says so breaks, in requests and in agents."""

import asyncio
import sys

from flagstream.cli import main
from flagstream.state.groups import GroupUpdate
from flagstream.views import StoredState

BREAKS = "breaks-here"
_person, _from_bytes = StoredState.person, GroupUpdate.from_bytes


def _person_or_break(self, project_id, distinct_id):
    if BREAKS in distinct_id:
        _tasks.append(asyncio.get_running_loop().create_task(_fail(distinct_id)))
        try:
            int(distinct_id)
        except ValueError as error:
            _tasks.clear()
            raise KeyError({distinct_id: 1}) from error
    return _person(self, project_id, distinct_id)


_tasks: list[asyncio.Task] = []


async def _fail(distinct_id):
    raise RuntimeError(distinct_id)


def _update_or_break(raw):
    if BREAKS.encode() in raw:
        raise ValueError(raw)
    return _from_bytes(raw)


if __name__ == "__main__":
    StoredState.person = _person_or_break
    GroupUpdate.from_bytes = _update_or_break
    main(sys.argv[1:])

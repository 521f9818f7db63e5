"""
Mends aiokafka, which takes "you ask the wrong broker" for "nothing was committed".

A broker that does not coordinate a group any more, as leaders have moved, says so once for its
whole answer, in which no partition is named then. aiokafka 0.14 reads the errors of partitions
alone, finds none, and asks the same broker for ever: a reader would see no progress any more, and a
worker fold its partitions from their first records. Importing this module is enough.
"""

from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NoError, NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

_send = GroupCoordinator._send_req  # noqa: SLF001 -- of the version that is pinned


async def _send_checked(coordinator: GroupCoordinator, request: Any) -> Any:
    response = await _send(coordinator, request)
    if isinstance(request, OffsetFetchRequest):
        # The oldest versions of the answer have none.
        error = for_code(getattr(response, "error_code", NoError.errno))
        if error is NotCoordinatorForGroupError:
            coordinator.coordinator_dead()
        if error is not NoError:
            raise error(coordinator.group_id)
    return response


GroupCoordinator._send_req = _send_checked  # noqa: SLF001 -- likewise

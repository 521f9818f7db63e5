"""posthog-node and posthog-python, played as the programs that products run them in."""

from collections.abc import Mapping, Sequence

from tests.clients.programs import run
from tests.clients.proxy import FaultProxy
from tests.clients.rows import FLAG, Row, Seen

# Longer than what any of them waits by itself, before it sends again for the first time.
RETRY_AFTER_S = 3


def play_program(
    client: str,
    token: str,
    proxy: FaultProxy,
    rows: Sequence[Row],
    uuids: Mapping[str, str] | None = None,
) -> dict[Row, Seen]:
    """
    Play all rows at the same time.

    Args:
        uuids: By name of the event, where the product gives one.
    """
    asked = [
        {
            "name": row.name,
            "host": proxy.plan(row.name, row.kind, row.faults(RETRY_AFTER_S)),
            "events": row.events,
            "uuids": uuids or {},
            "flag": FLAG,
        }
        for row in rows
    ]
    values = run(client, "rows", {"token": token, "rows": asked})
    return {row: Seen(row.requests(proxy.exchanges), values[row.name]) for row in rows}

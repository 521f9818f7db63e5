"""What clients do on which answer: the tables of the reference, which are the tests' cases."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from tests.clients.proxy import Fault, Kind

PAGE = (Path(__file__).parents[2] / "docs/reference/clients.md").read_text()
_TAKEN, _ONE, _FOR_GOOD = " though taken", " for one event", " for good"
_CLIENT = "posthog-"


class Does(StrEnum):
    """What a client does; any other word of the tables is a number of requests."""

    KEPT = "kept"
    LOST = "lost"
    DOUBLED = "doubled"
    SENT_AGAIN = "sent again"
    SENT_AGAIN_WHEN_TOLD = "sent again when told"
    SENT_IN_HALVES = "sent in halves"
    ANSWERED = "answered"
    ASKED_AGAIN = "asked again"
    AS_BEFORE = "as before"
    UNKNOWN = "unknown"


def table(heading: str) -> dict[tuple[str, str], str]:
    """Read the table below a heading: what is done by client and answer."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    head, _, *rows = (
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    )
    return {
        (client, answer): does
        for cells in rows
        for answer in cells[0].split(", ")
        for client, does in zip(head, cells, strict=True)
        if client.startswith(_CLIENT)
    }


CASES: Mapping[Kind, Mapping[tuple[str, str], str]] = {
    Kind.EVENTS: table("Events"),
    Kind.FLAGS: table("Flags"),
}
CLIENTS = list(dict.fromkeys(client for client, _ in CASES[Kind.EVENTS]))


def is_for_one(answer: str) -> bool:
    """Tell whether an answer is given to a request with a single event."""
    return answer.endswith(_ONE)


def is_for_good(answer: str) -> bool:
    """Tell whether an answer is given for as long as the client asks."""
    return answer.endswith((_ONE, _FOR_GOOD))


def fault(answer: str, retry_after_s: int) -> Fault | None:
    """Make what an answer in a table names; None where all is well."""
    status = re.match(r"\d{3}", answer)
    if answer == "200":
        return None
    return Fault(
        status=int(status[0]) if status else None,
        retry_after_s=retry_after_s if "Retry-After" in answer else None,
        is_taken=answer.endswith(_TAKEN),
        is_late=answer.startswith("no answer"),
    )

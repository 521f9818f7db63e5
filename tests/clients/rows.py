"""One row of a client's tables: what it is to do, what it gets, and what is seen of it."""

import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

from tests.clients.answers import CASES, fault, is_for_good, is_for_one
from tests.clients.proxy import Exchange, Fault, Kind

# Captured at once, and sent as one batch.
EVENTS = 4
# The flag that is asked for.
FLAG = "for-everyone"


class Row(NamedTuple):
    """
    What a client is to do.

    Attributes:
        name: The first part of the path of its requests.
        events: Names of those to capture; without any it asks for the flag.
    """

    name: str
    kind: Kind
    answer: str
    events: tuple[str, ...] = ()

    def faults(self, retry_after_s: int) -> Iterable[Fault | None]:
        """List what its requests get, one after the other; those after them are answered."""
        planned = fault(self.answer, retry_after_s)
        return repeat(planned) if is_for_good(self.answer) else [planned]

    def requests(self, exchanges: Iterable[Exchange]) -> list[Exchange]:
        """Pick what was sent for this, and not for anything else that the client does."""
        return [
            each
            for each in exchanges
            if (each.row, each.kind) == (self.name, self.kind)
            and (self.kind is Kind.FLAGS or not each.events.keys().isdisjoint(self.events))
        ]


class Seen(NamedTuple):
    """
    What is seen of a row.

    Attributes:
        value: Of the flag, as the product was given it at last.
    """

    requests: list[Exchange]
    value: Any = None


def rows_of(client: str) -> Iterator[Row]:
    """List the rows of the tables that say something about a client."""
    for kind, cases in CASES.items():
        for each, answer in cases:
            if each == client:
                name = f"{kind}-{re.sub('[^A-Za-z0-9]+', '-', answer)}"
                events = 0 if kind is Kind.FLAGS else 1 if is_for_one(answer) else EVENTS
                yield Row(name, kind, answer, tuple(f"{name} {n}" for n in range(events)))

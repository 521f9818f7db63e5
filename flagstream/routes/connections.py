"""Connections: how many there may be, and how long each may take."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

from flagstream.settings import Network, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """
    How long a connection may take, in seconds.

    Attributes:
        head: From its first byte, or from the opening, to the end of a request's head.
        body: Of a request that arrives, or of an answer that is not taken.
        idle: From one request to the next.
    """

    head: float
    body: float
    idle: float


class Connections:
    """
    The open connections of a process.

    Attributes:
        times: How long each may take.
        open: How many there are.
    """

    def __init__(
        self, times: Times, *, limit: int, limit_per_address: int, proxies: Collection[Network]
    ) -> None:
        """
        Begin without any.

        Args:
            limit_per_address: 0 for none. It does not count for *proxies*, behind whose addresses
                others are.
        """
        self.times = times
        self.open = 0
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._proxies = proxies
        self._by_address: Counter[str] = Counter()

    @classmethod
    def of(cls, settings: Settings) -> "Connections":
        """Take the limits from the settings."""
        return cls(
            Times(
                head=settings.head_timeout_s,
                body=settings.body_timeout_s,
                idle=settings.idle_timeout_s,
            ),
            limit=settings.max_connections,
            limit_per_address=settings.max_connections_per_address,
            proxies=settings.trusted_proxies,
        )

    def admit(self, address: str) -> bool:
        """Count a connection that was opened, unless there are too many."""
        if self.open >= self._limit or self._has_too_many(address):
            return False
        self.open += 1
        self._by_address[address] += 1
        return True

    def _has_too_many(self, address: str) -> bool:
        return 0 < self._limit_per_address <= self._by_address[address] and not is_within(
            address, self._proxies
        )

    def leave(self, address: str) -> None:
        """Count one that was admitted as closed."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def is_within(address: str, networks: Collection[Network]) -> bool:
    """Tell whether an address is of one of some networks; what is no address is of none."""
    if not networks:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)

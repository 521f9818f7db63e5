"""How the views lie in RocksDB: the keys of the tables' records and of the index by distinct id."""

from collections.abc import Mapping
from struct import Struct

from flagstream.state.sessions import SessionState
from flagstream.topics import Table, key_parts, record_key

FORMAT = "1"  # of everything here; another one is another directory
POSITION = b"o"

# Part of the format: a table keeps its byte for good.
_TABLES = {
    Table.GROUP_TYPES: b"t",
    Table.GROUPS: b"g",
    Table.SESSIONS: b"s",
    Table.PERSONS: b"p",
    Table.DEFINITIONS: b"d",
    Table.HISTORY: b"h",
}
ACTIVE = b"a"
_order = Struct(">QQ")
_SIGN = 1 << 63
ORDER_END = b"\xff" * (_order.size + 1)


def table_key(table: Table, key: bytes) -> bytes:
    """Key of a table's record."""
    return _TABLES[table] + key


def range_of(table: Table, *parts: str | int) -> tuple[bytes, bytes]:
    """First key of the table's records whose keys begin with *parts*, and the end behind them."""
    prefix = table_key(table, record_key(*parts)[:-1] + (b"," if parts else b""))
    return prefix, prefix + b"\xff"


def active_prefix(project_id: int, distinct_id: str) -> bytes:
    """Beginning of all index entries of one distinct id, and of no other."""
    return ACTIVE + record_key(project_id, distinct_id)


def session_of(project_id: int, distinct_id: str, key: bytes) -> str:
    """Read the session out of the key of an index entry."""
    return key[len(active_prefix(project_id, distinct_id)) + _order.size :].decode()


def active_entries(session_key: bytes, state: SessionState) -> Mapping[bytes, bytes]:
    """
    Index the maps of one session by distinct id, so that the last entry of an id is its latest map.

    The index is the union of this over all sessions and nothing else, hence a rebuild gives the
    same.
    """
    project_id, session_id = key_parts(session_key)
    return {
        active_prefix(int(project_id), distinct_id)
        + _order.pack(_ordered(active.time_ms), _ordered(active.version))
        + str(session_id).encode(): active.to_bytes()
        for distinct_id, active in state.maps.items()
    }


def _ordered(number: int) -> int:
    """Shift so that the bytes of all numbers sort as the numbers do, whatever a record claims."""
    return min(max(number, -_SIGN), _SIGN - 1) + _SIGN

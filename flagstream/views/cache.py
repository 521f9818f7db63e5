"""Decoded objects, bounded by their number and size."""

from collections import OrderedDict
from typing import Any, Final

MISSING: Final = object()
_ENTRY_BYTES = 1024


class ObjectCache:
    """
    The objects that were decoded last.

    An object counts as one entry for every begun KiB of its encoded form, so that a few huge ones
    take no more memory than many small ones.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._objects: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._entries = 0

    def get(self, key: bytes) -> Any:
        """Read an object, which may be None; :data:`MISSING` where it is not kept."""
        found = self._objects.get(key)
        return MISSING if found is None else found[0]

    def put(self, key: bytes, value: Any, size_bytes: int) -> None:
        """Keep an object; the oldest ones go."""
        self.drop(key)
        entries = 1 + size_bytes // _ENTRY_BYTES
        self._objects[key] = (value, entries)
        self._entries += entries
        while self._entries > self._max_entries:
            _, (_, dropped) = self._objects.popitem(last=False)
            self._entries -= dropped

    def drop(self, key: bytes) -> None:
        """Forget an object that has changed."""
        found = self._objects.pop(key, None)
        if found is not None:
            self._entries -= found[1]

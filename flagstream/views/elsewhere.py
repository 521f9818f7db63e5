"""Records of other processes that the views do not show yet."""

from collections import OrderedDict
from collections.abc import Callable

from flagstream.ports import Position

_MAX_KEYS = 100_000


class Elsewhere:
    """
    Remembers the latest record of each key until the views show it.

    As long as they do not, what they show of the key is not what was acknowledged last.
    """

    def __init__(self, is_visible: Callable[[Position], bool]) -> None:
        self._is_visible = is_visible
        self._landed: OrderedDict[tuple[str, bytes], Position] = OrderedDict()

    def landed(self, key: bytes, position: Position) -> None:
        """Note a record that changes what is read under *key*."""
        self._forget_oldest()
        # To the end, so that the oldest stay in front.
        self._landed.pop((position.topic, key), None)
        self._landed[position.topic, key] = position

    def is_settled(self, topic: str, key: bytes) -> bool:
        """Tell whether the views show all that was noted."""
        position = self._landed.get((topic, key))
        if position is None:
            return True
        if not self._is_visible(position):
            return False
        del self._landed[topic, key]
        return True

    def _forget_oldest(self) -> None:
        """Drop two where one comes in, so that the rest is cleaned up step by step."""
        for _ in range(2):
            oldest = next(iter(self._landed), None)
            if oldest is None:
                return
            if self._is_visible(self._landed[oldest]) or len(self._landed) >= _MAX_KEYS:
                del self._landed[oldest]

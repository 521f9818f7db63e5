"""What became of a record: folded, or dead with a reason."""

from collections.abc import Callable
from dataclasses import dataclass

MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What a fold said.

    Attributes:
        state: Encoded state to be stored; None to forget the key.
        is_news: The record changed the state, so it is to be written.
        dead: Why the record cannot be folded, or None.
    """

    state: bytes | None = None
    is_news: bool = False
    dead: str | None = None


def guard(fold: Callable[[], Outcome]) -> Outcome:
    """
    Run a fold; whatever it raises becomes the reason of a dead letter.

    Faust acknowledges a record even when its agent raised, so nothing may raise past the loop.
    """
    try:
        return fold()
    except Exception as error:  # noqa: BLE001 -- a poison record may break a fold in any way
        return Outcome(dead=f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS])

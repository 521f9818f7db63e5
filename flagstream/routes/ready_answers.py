"""Answers of flags that look at one group or person alone, kept until one of these changes."""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from flagstream.flags import CompiledFlags, Evaluation

MAX_BYTES = 32 * 1024 * 1024
# Of an answer that is kept, besides what the request gives: about.
_ENTRY_BYTES, _MEMBER_BYTES = 500, 8


class Answer(NamedTuple):
    """
    Flags in the shape of version 2.

    Attributes:
        members: Of the object ``flags``, encoded.
        has_failed: One of the flags could not be judged.
    """

    members: Sequence[bytes]
    has_failed: bool


Place = tuple[str | None, str | None, bytes]
"""
Whom an answer is for: the group's type, or None for the person; the group's key, or None where the
request names none, or the distinct id; and what the request says of them, encoded.
"""
Answers = dict[Place, tuple[object, Answer]]
"""What is stored, which is compared by identity, and the answer that follows from it."""


class ReadyAnswers:
    """
    Answers that are kept: a function of the flags, of what is stored and of what the request gives.

    They go when their flags do: holding on to a snapshot of before would free it, all in one go,
    when the next request comes. Members are kept one by one, not joined: all answers share them.
    """

    def __init__(self) -> None:
        self._by_flags: WeakKeyDictionary[CompiledFlags, Answers] = WeakKeyDictionary()
        self._size_bytes = 0

    def of(self, flags: CompiledFlags) -> Answers:
        """Give the answers of some flags, to look in."""
        answers = self._by_flags.get(flags)
        return self._by_flags.setdefault(flags, {}) if answers is None else answers

    def keep(self, answers: Answers, place: Place, stored: object, answer: Answer) -> Answer:
        """Keep an answer, and give it back; all are dropped where they take more than they may."""
        self._size_bytes += _ENTRY_BYTES + len(place[-1]) + _MEMBER_BYTES * len(answer.members)
        if self._size_bytes > MAX_BYTES:
            for each in self._by_flags.values():
                each.clear()
            self._size_bytes = 0
        answers[place] = (stored, answer)
        return answer


def answer_of(evaluations: Sequence[Evaluation]) -> Answer:
    """Take what a version 2 answer holds from evaluations."""
    members = [evaluation.v2 for evaluation in evaluations]
    return Answer(members, any(evaluation.failed for evaluation in evaluations))


def joined(parts: Sequence[Answer]) -> Answer:
    """Join the answers of several parts."""
    if len(parts) == 1:
        return parts[0]
    members: list[bytes] = []
    has_failed = False
    for part in parts:
        members += part.members
        has_failed |= part.has_failed
    return Answer(members, has_failed)

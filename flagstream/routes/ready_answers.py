"""Answers of flags that look at one group or person alone, kept until one of these changes."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from weakref import ref

from flagstream.flags import CompiledFlags, Evaluation

from .tallies import EVALUATIONS, Tally, tally_of

MAX_BYTES = 32 * 1024 * 1024
# Of an answer that is kept, besides what the request gives: about.
_ENTRY_BYTES, _MEMBER_BYTES = 800, 8
_FREED_AT_ONCE = 16  # by each request, which itself makes a few


class Answer(NamedTuple):
    """
    Flags in the shape of version 2.

    Attributes:
        members: Of the object ``flags``, encoded.
        has_failed: One of the flags could not be judged.
        tally: Where it is counted that this was given.
    """

    members: Sequence[bytes]
    has_failed: bool
    tally: Tally


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
    when the next request comes. For the same reason they go a few at a time. Members are kept one
    by one, not joined: all answers share them.
    """

    def __init__(self) -> None:
        self._by_flags: dict[ref[CompiledFlags], Answers] = {}
        self._leaving: deque[Answers] = deque()
        self._size_bytes = 0

    def of(self, flags: CompiledFlags) -> Answers:
        """Give the answers of some flags, to look in."""
        if self._leaving:
            self._free_some()
        answers = self._by_flags.get(ref(flags))
        if answers is None:
            answers = self._by_flags[ref(flags, self._retire)] = {}
        return answers

    def keep(self, answers: Answers, place: Place, stored: object, answer: Answer) -> Answer:
        """Keep an answer, and give it back; all are dropped where they take more than they may."""
        self._size_bytes += _ENTRY_BYTES + len(place[-1]) + _MEMBER_BYTES * len(answer.members)
        if self._size_bytes > MAX_BYTES:
            for flags in list(self._by_flags):
                self._retire(flags)
            self._size_bytes = 0
        answers[place] = (stored, answer)
        return answer

    def _retire(self, flags: ref[CompiledFlags]) -> None:
        answers = self._by_flags.pop(flags, None)
        if answers:
            self._leaving.append(answers)

    def _free_some(self) -> None:
        answers = self._leaving[0]
        for _ in range(min(_FREED_AT_ONCE, len(answers))):
            answers.popitem()
        if not answers:
            self._leaving.popleft()


def answer_of(project_id: int, evaluations: Sequence[Evaluation]) -> Answer:
    """Take what a version 2 answer holds from evaluations."""
    members = [evaluation.v2 for evaluation in evaluations]
    has_failed = any(evaluation.failed for evaluation in evaluations)
    return Answer(members, has_failed, tally_of(project_id, evaluations))


def given(parts: Sequence[Answer]) -> tuple[Sequence[bytes], bool]:
    """Join the answers of several parts into what is sent, and count them."""
    for part in parts:
        EVALUATIONS.given(part.tally)
    if len(parts) == 1:
        return parts[0].members, parts[0].has_failed
    members: list[bytes] = []
    has_failed = False
    for part in parts:
        members += part.members
        has_failed |= part.has_failed
    return members, has_failed

"""One agent per table: records of the source topic folded in, one at a time, in their order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import faust
from faust.types import StreamT
from faust.types.tuples import Message
from tenacity import before_sleep_log, retry, wait_fixed

from flagstream import telemetry
from flagstream.ports import Append, RecordSink
from flagstream.state.dead_letters import DeadLetter
from flagstream.state.merge import REDUCERS, Reducer
from flagstream.topics import Table, Topic, version_of

from .guard import Outcome, guard

logger = logging.getLogger(__name__)
_SLICE_S = 0.0005

# A full disk must neither lose a record nor make a dead letter of it: the agent stands still, its
# lag grows, and admission control refuses what would come on top.
_until_storage_takes_it = retry(
    wait=wait_fixed(0.5), before_sleep=before_sleep_log(logger, logging.ERROR)
)


FoldMessage = Callable[..., Awaitable[None]]


class FoldProgress(Protocol):
    """Who wants to know how far the agents are."""

    def folded(
        self,
        topic: str,
        partition: int,
        offset: int,
        changed_version: int | None,
    ) -> None:
        """Note a folded record, and the version that it wrote to its table if it did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """
    What all agents share.

    Attributes:
        partitions: Of every source topic and so of every table.
        epoch: Of a source topic: how often it was created anew.
        dead_letters: Where records go that cannot be folded.
        on_dead: Called with the table of each of them, to be counted.
        traced: Makes what folds a record tell of it, where that is wanted.
    """

    partitions: int
    epoch: Callable[[str], int]
    progress: FoldProgress
    dead_letters: RecordSink
    on_dead: Callable[[Table], None]
    traced: Callable[[FoldMessage], FoldMessage] | None = None


def register(app: faust.App, table: Table, folding: Folding) -> None:
    """Declare a table, its source topic and the agent that folds one into the other."""
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "partitions": folding.partitions}
    undecoded: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(table.source.value, **raw, **undecoded)
    changelog = app.topic(table.changelog, **raw, **undecoded)
    # Recovery joins as the fold does: everybody merges, nobody replaces.
    options = {"join": REDUCERS[table].join}
    states = app.Table(table.value, changelog_topic=changelog, options=options, **raw)
    fold_message = folding.traced(_fold_message) if folding.traced else _fold_message

    @app.agent(source, name=table.value)
    async def fold_records(stream: StreamT[bytes]) -> None:
        slice_end = 0.0
        async for event in stream.events():
            await fold_message(event.message, table, states, folding)
            if perf_counter() > slice_end:
                # A backlog would otherwise be folded in one go, and requests would wait for it.
                await asyncio.sleep(0)
                slice_end = perf_counter() + _SLICE_S


async def _fold_message(message: Message, table: Table, states: Any, folding: Folding) -> None:
    version = version_of(folding.epoch(message.topic), message.offset)
    try:
        outcome = _fold_into(states, REDUCERS[table], message, version)
    except Exception:  # noqa: BLE001 -- storage fails in its library's own ways
        outcome = await _fold_at_last(states, REDUCERS[table], message, version)
    if outcome.dead is not None:
        letter = DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=round(message.timestamp * 1000),
            reason=outcome.dead,
            key=message.key or b"",
            value=message.value,
        )
        await bury(letter, folding.dead_letters)
        folding.on_dead(table)
    telemetry.folded(table)
    folding.progress.folded(
        message.topic,
        message.partition,
        message.offset,
        None if outcome.state is None or not outcome.is_news else version,
    )


def fold(
    reducer: Reducer[Any, Any],
    before: bytes | None,
    key: bytes | None,
    value: bytes | None,
    version: int,
) -> Outcome:
    """
    Fold one record into the state of its key.

    Raises:
        RecordError: The record cannot be folded.
    """
    reducer.check_key(key)
    after = reducer.fold(before, value or b"", version)
    return Outcome(state=after, is_news=after is not before)


def _fold_into(states: Any, reducer: Reducer[Any, Any], message: Message, version: int) -> Outcome:
    """Read, fold and write in one go; what raises is storage, as poison is an outcome."""
    key: Any = message.key
    before = None if key is None else states.get(key)
    outcome = guard(partial(fold, reducer, before, key, message.value, version))
    if outcome.is_news and outcome.state is None:
        states.pop(key, None)
    elif outcome.is_news:
        states[key] = outcome.state
    return outcome


@_until_storage_takes_it
async def _fold_at_last(
    states: Any, reducer: Reducer[Any, Any], message: Message, version: int
) -> Outcome:
    return _fold_into(states, reducer, message, version)


@_until_storage_takes_it
async def bury(letter: DeadLetter, sink: RecordSink) -> None:
    """Append a dead letter; returns once it is durable, however long the log takes no writes."""
    await sink.append([Append(Topic.DEAD_LETTERS, letter.key, letter.to_bytes())])

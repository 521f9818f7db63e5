"""Schedules as they are sent: checked, and written as the steps that they mean."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from flagstream.errors import InvalidFieldError, InvalidRequestError
from flagstream.state.schedules import Plan, Step
from flagstream.wire import unix_ms

from .bodies import Row, iso_time
from .rows import DEFINING
from .stages import percentage, stepped, watched

MAX_STEPS = 100
_MAX_S = 10 * 365 * 86_400
_MEMBERS = frozenset(["scheduled_at", "change", "conditions", "steps", "progressive"])
_STEP = frozenset(["scheduled_at", "change", "rollout_percentage"])
_PROGRESSIVE = frozenset(["from", "to", "steps", "starts_at", "duration_s"])
_CHANGEABLE = frozenset(DEFINING) - {"key", "deleted"}
_TIME = "an ISO 8601 time that is still to come, or null for now"
_ALL = 100


def new_plan(row: Row, body: Row, *, author: str, now_ms: int) -> Plan:
    """
    Make the plan that a body asks for.

    Args:
        row: Of the flag.

    Raises:
        InvalidRequestError: Naming the member that is wrong.
    """
    _known(body, _MEMBERS, "")
    steps = _steps(body, now_ms)
    is_progressive = steps[0].rollout_percentage is not None
    plan = Plan(
        flag_id=row["id"],
        flag_key=row["key"],
        author=author,
        time_ms=now_ms,
        steps=steps,
        conditions=_conditions(row, body) if is_progressive else [],
    )
    if is_progressive:
        _check_rising(row, plan)
    elif "conditions" in body:
        raise InvalidFieldError("conditions", "steps with a rollout_percentage", body["conditions"])
    return _settled(row, plan, now_ms)


def _known(body: Row, names: frozenset[str], path: str) -> None:
    for name, value in body.items():
        if name not in names:
            raise InvalidFieldError(f"{path}{name}", "no member of this name", value)


def _steps(body: Row, now_ms: int) -> list[Step]:
    """Read one of the three ways in which steps are told."""
    told = [name for name in ("change", "steps", "progressive") if name in body]
    if len(told) != 1:
        raise InvalidRequestError(
            "steps: expected either steps, or a change, or progressive", attr="steps"
        )
    if told != ["change"] and "scheduled_at" in body:
        raise InvalidFieldError("scheduled_at", "the times of the steps", body["scheduled_at"])
    if told == ["change"]:
        return [_step({name: body[name] for name in body.keys() & _STEP}, "", now_ms)]
    if told == ["progressive"]:
        return list(_evenly(body["progressive"], now_ms))
    return _listed(body["steps"], now_ms)


def _listed(sent: Any, now_ms: int) -> list[Step]:
    if not isinstance(sent, list) or not 0 < len(sent) <= MAX_STEPS:
        raise InvalidFieldError("steps", f"a list of 1 to {MAX_STEPS} steps", sent)
    steps: list[Step] = []
    for at, each in enumerate(sent):
        path = f"steps[{at}]"
        if not isinstance(each, dict):
            raise InvalidFieldError(path, "an object", each)
        step = _step(each, f"{path}.", now_ms)
        if steps and step.at_ms <= steps[-1].at_ms:
            got = each.get("scheduled_at")
            raise InvalidFieldError(f"{path}.scheduled_at", "a time after that before it", got)
        if steps and (step.rollout_percentage is None) != (steps[0].rollout_percentage is None):
            raise InvalidFieldError(path, "a step of the same kind as the first", each)
        steps.append(step)
    return steps


def _step(sent: Row, path: str, now_ms: int) -> Step:
    _known(sent, _STEP, path)
    at_ms = _time(sent.get("scheduled_at"), f"{path}scheduled_at", now_ms)
    if ("change" in sent) == ("rollout_percentage" in sent):
        raise InvalidRequestError(
            f"{path}change: expected either a change or a rollout_percentage",
            attr=f"{path}change",
        )
    if "change" in sent:
        return Step(at_ms=at_ms, change=_change(sent["change"], f"{path}change"))
    rollout = _percentage(sent["rollout_percentage"], f"{path}rollout_percentage")
    return Step(at_ms=at_ms, rollout_percentage=rollout)


def _time(sent: Any, field: str, now_ms: int) -> int:
    if sent is None:
        return now_ms
    at_ms = unix_ms(sent)
    if at_ms is None or at_ms < now_ms:
        raise InvalidFieldError(field, _TIME, sent)
    return at_ms


def _percentage(sent: Any, field: str) -> float:
    if type(sent) not in (int, float) or not 0 <= sent <= _ALL:
        raise InvalidFieldError(field, "a number from 0 to 100", sent)
    return float(sent)


def _change(sent: Any, field: str) -> dict[str, Any]:
    if not isinstance(sent, dict) or not sent:
        raise InvalidFieldError(field, "an object with members of the flag", sent)
    _known(sent, _CHANGEABLE, f"{field}.")
    return sent


def _evenly(sent: Any, now_ms: int) -> Iterator[Step]:
    """Spread steps from one percentage to another evenly over a time."""
    if not isinstance(sent, dict):
        raise InvalidFieldError("progressive", "an object", sent)
    _known(sent, _PROGRESSIVE, "progressive.")
    first = _percentage(sent.get("from"), "progressive.from")
    last = _percentage(sent.get("to"), "progressive.to")
    count, seconds = sent.get("steps", 0), sent.get("duration_s", 0)
    if type(count) is not int or not 1 < count <= MAX_STEPS:
        raise InvalidFieldError("progressive.steps", f"a number from 2 to {MAX_STEPS}", count)
    if type(seconds) not in (int, float) or not count <= seconds <= _MAX_S:
        expected = "seconds, one for each step at the least, ten years at the most"
        raise InvalidFieldError("progressive.duration_s", expected, seconds)
    start_ms = _time(sent.get("starts_at"), "progressive.starts_at", now_ms)
    for at in range(count):
        share = at / (count - 1)
        # In the thousandths that a bucket is.
        rollout = round(first + (last - first) * share, 3)
        yield Step(at_ms=start_ms + round(seconds * 1_000 * share), rollout_percentage=rollout)


def _conditions(row: Row, body: Row) -> list[int]:
    """Read which conditions are widened; all of them where none are named."""
    known = row["filters"].get("groups") or []
    named = body.get("conditions", list(range(len(known))))
    is_list = isinstance(named, list) and all(type(each) is int for each in named)
    if not is_list or not named or not set(named) <= set(range(len(known))):
        expected = f"indexes of the flag's {len(known)} conditions, from 0"
        raise InvalidFieldError("conditions", expected, body.get("conditions"))
    return sorted(set(named))


def _check_rising(row: Row, plan: Plan) -> None:
    """Let nobody who is in fall out: that is a change of another kind."""
    conditions: Sequence[Mapping[str, Any]] = row["filters"]["groups"]
    highest = max(percentage(conditions[at]) for at in plan.conditions)
    for at, step in enumerate(plan.steps):
        rollout = percentage({"rollout_percentage": step.rollout_percentage})
        if rollout < highest or (at > 0 and rollout == highest):
            least = f"{'more than' if at else 'at least'} {highest:g}"
            expected = f"{least}, as a step lets nobody fall out; else send a change"
            raise InvalidFieldError(f"steps[{at}].rollout_percentage", expected, rollout)
        highest = rollout


def _settled(row: Row, plan: Plan, now_ms: int) -> Plan:
    """
    Try all steps, and write changes as the flag will hold them.

    Raises:
        InvalidRequestError: The flag does not take a step, which is named.
    """
    steps: list[Step] = []
    after = row
    for at, step in enumerate(plan.steps):
        try:
            after = stepped(plan, after, step, now_ms=now_ms)
        except InvalidRequestError as error:
            when = iso_time(step.at_ms)
            detail = f"steps[{at}] ({when}): {error.detail}"
            raise InvalidRequestError(detail, code=error.code, attr=f"steps[{at}]") from None
        change = {name: after[name] for name in step.change if name != "filters"}
        if "filters" in step.change:
            change["filters"] = {name: after["filters"][name] for name in step.change["filters"]}
        steps.append(msgspec.structs.replace(step, change=change))
    settled = msgspec.structs.replace(plan, steps=steps)
    return msgspec.structs.replace(settled, expected=watched(settled, row))

"""
What a flag costs in process: this engine next to those of PostHog, GrowthBook and flagd.

All judge the same flags (one property test that matches and a 50 % rollout, by group) for the same
groups, in interleaved rounds of one process; of CPU time, the best round of each side counts.
``call`` is what a backend calls for one user, arguments made anew each time, and of several such
calls the cheapest counts; ``evaluator`` is what is inside, with the arguments that it likes best.
The server asks ``flagstream`` in the second way.

    python -m benchmarks.evaluate
"""

import asyncio
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

from growthbook import GrowthBook, GrowthBookClient, UserContext
from growthbook.core import eval_feature
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.contrib.tools.flagd.core.targeting import targeting
from openfeature.evaluation_context import EvaluationContext as FlagdContext
from posthog import Posthog

from flagstream.flags import (
    Definitions,
    EvaluationContext,
    FlagSet,
    Sdk,
    compile_flags,
    compile_project,
    local_definitions,
    parse_project,
)

ROUNDS = 25
FLAGS_PER_ROUND = 10_000
GROUP_TYPES = {"organization": 0}
GROUPS = [f"org:{n}" for n in range(64)]
OURS = ("flagstream murmur3", "flagstream sha1")
PEERS = ("posthog-python", "growthbook", "flagd")
KINDS = ("call", "evaluator")
BUDGET_US = 1.0


class Side(NamedTuple):
    """
    One way to ask.

    Attributes:
        engine: Whose.
        kind: ``call`` or ``evaluator``.
        ask: Called with a group's key; what is measured.
        values: Reads what was answered, flag by flag.
    """

    engine: str
    kind: str
    name: str
    ask: Callable[[str], Any]
    values: Callable[[Any], Sequence[bool]]


def rows(count: int, bucketing: str) -> dict[str, dict[str, Any]]:
    test = {"key": "plan", "type": "group", "operator": "exact", "value": "gold"}
    filters = {
        "aggregation_group_type_index": 0,
        "groups": [{"properties": [test], "rollout_percentage": 50}],
    }
    return {
        f"flag-{n}": {"id": n, "key": f"flag-{n}", "bucketing": bucketing, "filters": filters}
        for n in range(count)
    }


def document(count: int, bucketing: str) -> Mapping[str, Any]:
    """What ``/flags/definitions`` answers to posthog-python."""
    definitions = Definitions(flags=rows(count, bucketing), group_types=GROUP_TYPES)
    project = compile_project(parse_project(definitions))
    local = local_definitions(project, remembers_groups=False)
    return json.loads(local.documents[Sdk.PYTHON])


def our_sides(count: int, bucketing: str) -> list[Side]:
    flags = FlagSet.from_definitions(document(count, bucketing))
    compiled = compile_flags(rows(count, bucketing), GROUP_TYPES)
    contexts = {
        key: EvaluationContext(
            distinct_id="user",
            groups={"organization": key},
            group_properties={"organization": {"plan": "gold", "seats": 12}},
        )
        for key in GROUPS
    }

    def evaluate(group_key: str) -> Any:
        return flags.evaluate(
            "user",
            groups={"organization": group_key},
            group_properties={"organization": {"plan": "gold", "seats": 12}},
        )

    engine = f"flagstream {bucketing}"
    return [
        Side(
            engine,
            "call",
            "FlagSet.evaluate",
            evaluate,
            lambda answers: [answer.value for answer in answers.values()],
        ),
        Side(
            engine,
            "evaluator",
            "CompiledFlags.answers",
            lambda group_key: compiled.answers(contexts[group_key]),
            lambda answers: [answer.value for answer in answers],
        ),
    ]


def posthog_sides(client: Posthog, count: int) -> list[Side]:
    def one(group_key: str) -> Any:
        return client.get_feature_flag(
            "flag-0",
            "user",
            groups={"organization": group_key},
            group_properties={"organization": {"plan": "gold", "seats": 12}},
            only_evaluate_locally=True,
            send_feature_flag_events=False,
        )

    def every(group_key: str) -> Any:
        return client.get_all_flags(
            "user",
            groups={"organization": group_key},
            group_properties={"organization": {"plan": "gold", "seats": 12}},
            only_evaluate_locally=True,
        )

    snapshot = client._local_evaluation_snapshot()  # noqa: SLF001 -- taken once, not per flag
    compute = client._compute_flag_locally  # noqa: SLF001 -- what all public calls end in
    properties = {"organization": {"plan": "gold", "seats": 12}}
    groups = {key: {"organization": key} for key in GROUPS}

    def inner(group_key: str) -> Any:
        return [
            compute(
                flag,
                "user",
                groups=groups[group_key],
                group_properties=properties,
                _definition_snapshot=snapshot,
            )
            for flag in snapshot["flags"]
        ]

    engine = "posthog-python"
    calls = [Side(engine, "call", "get_all_flags", every, lambda found: list(found.values()))]
    if count == 1:
        calls.append(Side(engine, "call", "get_feature_flag", one, lambda value: [value]))
    return [*calls, Side(engine, "evaluator", "_compute_flag_locally", inner, list)]


def posthog_client(count: int) -> Posthog:
    definitions = document(count, "sha1")
    client = Posthog("phc_benchmark", send=False, sync_mode=True)
    client.feature_flags = definitions["flags"]
    client.group_type_mapping = definitions["group_type_mapping"]
    client.cohorts = definitions["cohorts"]
    return client


def growthbook_sides(count: int) -> list[Side]:
    rule = {
        "condition": {"plan": "gold"},
        "force": True,
        "coverage": 0.5,
        "hashAttribute": "organization",
    }
    features = {f"flag-{n}": {"defaultValue": False, "rules": [rule]} for n in range(count)}
    shared, client = GrowthBook(features=features), GrowthBookClient()
    finished(client.set_features(features))

    def set_attributes(group_key: str) -> Any:
        # One object for all: right in one thread alone, and the cheapest that there is.
        shared.set_attributes({"organization": group_key, "plan": "gold", "seats": 12})
        return [shared.is_on(key) for key in features]

    async def ask_client(group_key: str) -> Any:
        user = UserContext(attributes={"organization": group_key, "plan": "gold", "seats": 12})
        return [await client.is_on(key, user) for key in features]

    users = {
        key: UserContext(attributes={"organization": key, "plan": "gold", "seats": 12})
        for key in GROUPS
    }

    async def inner(group_key: str) -> Any:
        # One context for all flags: right only where none depends on another.
        context = await client.create_evaluation_context(users[group_key])
        return [eval_feature(key, context).on for key in features]

    return [
        Side("growthbook", "call", "set_attributes, is_on", set_attributes, list),
        Side(
            "growthbook",
            "call",
            "GrowthBookClient.is_on",
            lambda group_key: finished(ask_client(group_key)),
            list,
        ),
        Side(
            "growthbook",
            "evaluator",
            "core.eval_feature",
            lambda group_key: finished(inner(group_key)),
            list,
        ),
    ]


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits, without the cost of a loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError


def flagd_sides(count: int) -> list[Side]:
    # The shorthand hashes the flag's key and the targeting key, here the organization's.
    rollout = {"fractional": [["on", 50], ["off", 50]]}
    rule = {"if": [{"==": [{"var": "plan"}, "gold"]}, rollout, "off"]}
    keys = [f"flag-{n}" for n in range(count)]
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "targeting": rule}
    core = FlagdCore()
    core.set_flags({"flags": {key: {**flag, "defaultVariant": "off"} for key in keys}})
    contexts = {key: FlagdContext(key, {"plan": "gold", "seats": 12}) for key in GROUPS}

    def resolve(group_key: str) -> Any:
        context = FlagdContext(group_key, {"plan": "gold", "seats": 12})
        return [core.resolve_boolean_value(key, False, context) for key in keys]  # noqa: FBT003

    return [
        Side(
            "flagd",
            "call",
            "resolve_boolean_value",
            resolve,
            lambda answers: [answer.value for answer in answers],
        ),
        Side(
            "flagd",
            "evaluator",
            "targeting",
            lambda group_key: [targeting(key, rule, contexts[group_key]) for key in keys],
            lambda variants: [variant == "on" for variant in variants],
        ),
    ]


def check(sides: Sequence[Side], count: int) -> None:
    """See that each side judges: the same again, both outcomes, by each flag on its own."""
    answers = {}
    for side in sides:
        found = [side.values(side.ask(key)) for key in GROUPS]
        assert found == [side.values(side.ask(key)) for key in GROUPS], side
        assert all(len(values) == count for values in found), side
        for values in zip(*found, strict=True):
            assert 10 < sum(values) < len(GROUPS) - 10, side
        assert len(set(zip(*found, strict=True))) == count, side
        assert answers.setdefault(side.engine, found) == found, side
    assert answers["flagstream sha1"] == answers["posthog-python"]


def measure(sides: Sequence[Side], flags: int) -> dict[Side, float]:
    """Give the CPU µs per flag of each side."""
    calls = FLAGS_PER_ROUND // flags
    best = dict.fromkeys(sides, float("inf"))
    keys = list(islice(cycle(GROUPS), calls))
    for _ in range(ROUNDS):
        for side in sides:
            ask = side.ask
            start = time.process_time_ns()
            for key in keys:
                ask(key)
            spent = time.process_time_ns() - start
            best[side] = min(best[side], spent / 1000 / calls / flags)
    return best


def sha1_us() -> float:
    """Measure this machine at this moment: the hash of a short key, in CPU µs."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for key in [b"flag-0.org:1"] * FLAGS_PER_ROUND:
            hashlib.sha1(key).digest()  # noqa: S324 -- a yardstick
        best = min(best, (time.process_time_ns() - start) / 1000 / FLAGS_PER_ROUND)
    return best


def compare(count: int) -> list[dict[str, Any]]:
    client = posthog_client(count)
    sides = [side for bucketing in ("murmur3", "sha1") for side in our_sides(count, bucketing)]
    sides += [*posthog_sides(client, count), *growthbook_sides(count), *flagd_sides(count)]
    check(sides, count)
    spent = measure(sides, count)
    client.shutdown()
    results = []
    for kind in KINDS:
        of_kind = {side: us for side, us in spent.items() if side.kind == kind}
        ours = {side.engine: us for side, us in of_kind.items() if side.engine in OURS}
        print(f"\n{count} flag{'s' * (count > 1)}, {kind}: CPU µs per flag, times as slow as ours")
        for side, us in of_kind.items():
            ratios = {name: round(us / ours[name], 1) for name in OURS}
            shown = "  ".join(f"{ratios[name]:5.1f}x {name.split()[1]}" for name in OURS)
            print(f"  {side.engine:18} {side.name:22} {us:7.3f}  {shown}")
        cheapest = {
            peer: min(us for side, us in of_kind.items() if side.engine == peer) for peer in PEERS
        }
        results.append(
            {
                "flags": count,
                "kind": kind,
                "cpu_us_per_flag": {
                    f"{side.engine}: {side.name}": round(us, 3) for side, us in of_kind.items()
                },
                "ratio": {
                    name: {peer: round(us / ours[name], 1) for peer, us in cheapest.items()}
                    for name in OURS
                },
            }
        )
    return results


def main() -> None:
    # posthog-python is about to rename its calls; the new ones cost more.
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.set_event_loop(asyncio.new_event_loop())
    results = [result for count in (1, 50) for result in compare(count)]
    calls = results[0]["cpu_us_per_flag"]
    ours_us, yardstick_us = calls["flagstream murmur3: FlagSet.evaluate"], round(sha1_us(), 3)
    print(f"\none flag: {ours_us:.2f} µs (target {BUDGET_US}); one sha1 here: {yardstick_us} µs")
    print(json.dumps({"benchmark": "evaluate", "sha1_us": yardstick_us, "results": results}))


if __name__ == "__main__":
    main()

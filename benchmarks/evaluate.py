"""
What a flag costs in process: this engine and posthog-python's local evaluation, side by side.

Both judge the same flags (one property test that matches and a 50 % rollout, by group) for the same
groups, in interleaved rounds of one process; of CPU time, the best round of each side counts.
``call`` is what an application calls, arguments made anew each time; ``evaluator`` is what is
inside: each side gets the arguments it likes best.

    python benchmarks/evaluate.py
"""

import json
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

from posthog import Posthog

from flagstream.flags import (
    Evaluation,
    EvaluationContext,
    FlagSet,
    compile_flags,
    local_definitions,
)

ROUNDS = 9
FLAGS_PER_ROUND = 20_000
BUCKETINGS = ("murmur3", "sha1")
GROUP_TYPES = {"organization": 0}
GROUPS = [f"org:{n}" for n in range(64)]
PROPERTIES = {"plan": "gold", "seats": 12}
Side = Callable[[str], Any]


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


def our_call(flags: FlagSet) -> Side:
    def call(group_key: str) -> Sequence[Evaluation]:
        context = EvaluationContext(
            distinct_id="user",
            groups={"organization": group_key},
            group_properties={"organization": PROPERTIES},
        )
        return flags.evaluate(context)

    return call


def our_evaluator(flags: FlagSet) -> Side:
    contexts = {
        key: EvaluationContext(
            distinct_id="user",
            groups={"organization": key},
            group_properties={"organization": PROPERTIES},
        )
        for key in GROUPS
    }
    return lambda group_key: flags.evaluate(contexts[group_key])


def posthog_call(client: Posthog, count: int) -> Side:
    def one(group_key: str) -> list[Any]:
        value = client.get_feature_flag(
            "flag-0",
            "user",
            groups={"organization": group_key},
            group_properties={"organization": PROPERTIES},
            only_evaluate_locally=True,
            send_feature_flag_events=False,
        )
        return [value]

    def every(group_key: str) -> list[Any]:
        values = client.get_all_flags(
            "user",
            groups={"organization": group_key},
            group_properties={"organization": PROPERTIES},
            only_evaluate_locally=True,
        )
        return list(values.values())

    return one if count == 1 else every


def posthog_evaluator(client: Posthog) -> Side:
    snapshot = client._local_evaluation_snapshot()  # noqa: SLF001 -- taken once, not per flag
    evaluate = client._compute_flag_locally  # noqa: SLF001 -- what all public calls end in
    properties = {"organization": PROPERTIES}
    groups = {key: {"organization": key} for key in GROUPS}

    def call(group_key: str) -> list[Any]:
        return [
            evaluate(
                flag,
                "user",
                groups=groups[group_key],
                group_properties=properties,
                _definition_snapshot=snapshot,
            )
            for flag in snapshot["flags"]
        ]

    return call


def make_client(definitions: dict[str, Any]) -> Posthog:
    client = Posthog("phc_benchmark", send=False, sync_mode=True)
    client.feature_flags = definitions["flags"]
    client.group_type_mapping = definitions["group_type_mapping"]
    client.cohorts = definitions["cohorts"]
    return client


def measure(sides: dict[str, Side], flags: int) -> dict[str, float]:
    """Give the CPU µs per flag of each side."""
    calls = FLAGS_PER_ROUND // flags
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(ROUNDS):
        for name, side in sides.items():
            keys = list(islice(cycle(GROUPS), calls))
            start = time.process_time_ns()
            for key in keys:
                side(key)
            spent = time.process_time_ns() - start
            best[name] = min(best[name], spent / 1000 / calls / flags)
    return best


def compare(count: int) -> list[dict[str, Any]]:
    sets = {each: compile_flags(rows(count, each), GROUP_TYPES) for each in BUCKETINGS}
    client = make_client(local_definitions(rows(count, "sha1"), GROUP_TYPES))
    kinds = {
        "call": (our_call, posthog_call(client, count)),
        "evaluator": (our_evaluator, posthog_evaluator(client)),
    }
    expected = [posthog_call(client, count)(key) for key in GROUPS]
    assert expected == [[answer.value for answer in our_call(sets["sha1"])(key)] for key in GROUPS]
    assert len({answers[0] for answers in expected}) > 1
    results = []
    for kind, (ours, theirs) in kinds.items():
        sides = {name: ours(flags) for name, flags in sets.items()}
        spent = measure({**sides, "posthog-python": theirs}, count)
        ratios = {name: round(spent["posthog-python"] / spent[name], 1) for name in BUCKETINGS}
        cpu = {name: round(each, 3) for name, each in spent.items()}
        print(f"{count:>3} flags, {kind:<9}: CPU µs per flag {cpu}, times as fast {ratios}")
        results.append({"flags": count, "kind": kind, "cpu_us_per_flag": cpu, "ratio": ratios})
    client.shutdown()
    return results


def main() -> None:
    # posthog-python is about to rename its calls; they cost the same.
    warnings.simplefilter("ignore", DeprecationWarning)
    results = [result for count in (1, 50) for result in compare(count)]
    print(json.dumps({"benchmark": "evaluate", "results": results}))


if __name__ == "__main__":
    main()

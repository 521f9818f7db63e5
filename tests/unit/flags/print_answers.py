"""Prints what the conformance cases answer, and the documents that are made of them."""

import json
import sys
from pathlib import Path

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    EvaluationContext,
    Sdk,
    compile_project,
    local_definitions,
    parse_project,
)

CASES = Path(__file__).parents[2] / "conformance" / "cases"
GROUP_TYPES = {"organization": 0, "project": 1}


def main() -> None:
    for name in ("flags", "cohorts", "dependencies"):
        for case in json.loads((CASES / f"{name}.json").read_text())["cases"][-150:]:
            rows = case["flags"] if "flags" in case else [case["flag"]]
            definitions = Definitions(
                flags={row["key"]: row for row in rows},
                cohorts={row["id"]: row for row in case.get("cohorts", ())},
                group_types=GROUP_TYPES,
            )
            project = compile_project(parse_project(definitions))
            given = {key: case["context"].get(key, {}) for key in ("groups", "person_properties")}
            context = EvaluationContext(distinct_id=case["context"]["distinct_id"], **given)
            for answer in CompiledFlags.of(project).answers(context):
                sys.stdout.write(answer.v2.decode() + "\n")
            document = local_definitions(project, remembers_groups=True).documents[Sdk.PYTHON]
            sys.stdout.write(document.decode() + "\n")


if __name__ == "__main__":
    main()

"""Explanations as people read them in a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
_INDENT = "  "
_MAX_CHARS = 80
_ABSENCES = {
    "disabled": "the flag is disabled",
    "quota": "the project is over its quota",
    "evaluation_runtime": "the flag is for another runtime",
    "evaluation_contexts": "the flag is for other evaluation contexts",
}
_NOT_HASHED = "nobody is there to be hashed"


def lines(explanation: Document) -> Iterator[str]:
    """Write an explanation as a tree."""
    yield f"{explanation['key']} = {_json(explanation['value'])}: {_why(explanation)}"
    if explanation["payload"] is not None:
        yield f"{_INDENT}payload {_cut(explanation['payload'])}"
    if explanation["absence"] is not None:
        yield f"{_INDENT}/flags leaves it out: {_ABSENCES[explanation['absence']]}"
    yield f"{_INDENT}flag {explanation['id']}, version {explanation['version']}"
    if explanation["as_of"] is not None:
        yield from _indented(_as_of(explanation["as_of"]))
    yield from _indented(map(_group, explanation["groups"]))
    yield from _indented(_before(explanation))
    for condition in explanation["conditions"]:
        yield from _condition(condition)
    for cohort in explanation["cohorts"]:
        yield from _cohort(cohort)


def _why(explanation: Document) -> str:
    text = f"{explanation['description']} ({explanation['reason']})"
    return f"{text}; it cannot be judged" if explanation["failed"] else text


def _as_of(as_of: Document) -> Iterator[str]:
    present = ", ".join(as_of["present"]).replace("_", " ")
    yield f"as of {as_of['time']}; as they are now: {present}"
    for each in as_of["unknown"]:
        yield (
            f"unknown: {each['property']} of {each['group_type']} {each['group_key']}, "
            "which may have been set before all that is kept"
        )


def _group(group: Document) -> str:
    name = f"{group['group_type']}: "
    if group["source"] == "missing":
        return f"{name}none named, none remembered"
    where = "named in the request"
    if group["source"] == "memory":
        session = f" in session {group['session_id']}" if group["session_id"] else ""
        where = f"remembered of {group['distinct_id']}{session}, {group['remembered_at']}"
    unknown = "" if group["is_known"] else ", never heard of"
    return f"{name}{group['group_key']}, {where}{unknown}"


def _before(explanation: Document) -> Iterator[str]:
    """Write what goes before the conditions."""
    enrollment, holdout = explanation["enrollment"], explanation["holdout"]
    if enrollment is not None:
        chosen = {None: "has not chosen", True: "has opted in", False: "has opted out"}
        yield f"early access: the person {chosen[enrollment['is_enrolled']]}"
    if holdout is not None:
        verdict = "held out" if holdout["is_held_out"] else "not held out"
        yield (
            f"holdout {holdout['id']} of {_percent(holdout['exclusion_percentage'])}: "
            f"{holdout['identifier']} is at {_percent(holdout['percentage'])}, {verdict}"
        )


def _condition(condition: Document) -> Iterator[str]:
    about = condition["group_type"] or "person"
    reached = "" if condition["is_reached"] else ", not asked any more"
    verdict = "matched" if condition["matched"] else condition["reason"].replace("_", " ")
    described = f" -- {condition['description']}" if condition["description"] else ""
    yield f"condition {condition['index'] + 1}, of {about}: {verdict}{reached}{described}"
    yield from _indented(_filters(condition["filters"]))
    rollout, variants = condition["rollout"], condition["variants"]
    yield _INDENT + (_NOT_HASHED if rollout is None else _rollout(rollout))
    if variants is not None:
        yield _INDENT + _variants(variants)


def _filters(filters: Sequence[Document]) -> Iterator[str]:
    for each in filters:
        if each["kind"] == "group":
            yield f"{_mark(each)} {'all' if each['type'] == 'AND' else 'any'} of"
            yield from _indented(_filters(each["values"]))
        else:
            yield f"{_mark(each)} {_filter(each)}"


def _mark(part: Document) -> str:
    return "yes" if part["matched"] else "no "


def _filter(test: Document) -> str:
    note = f"; {test['note']}" if test["note"] else ""
    negated = "not " if test["is_negated"] else ""
    if test["type"] == "cohort":
        return f"{negated}{test['operator']} cohort {test['cohort']}{note}"
    if test["flag"] is not None:
        flag = test["flag"]
        name = flag["key"] or test["key"]
        return (
            f"{negated}flag {name} is {_json(test['value'])}: it is {_json(flag['value'])} "
            f"({flag['reason'] or 'there is none, or it is off'}){note}"
        )
    whose = test["group_type"] or "person"
    wanted = "" if test["value"] is None else f" {_json(test['value'])}"
    return f"{negated}{whose}.{test['key']} {test['operator']}{wanted}: {_seen(test)}{note}"


def _seen(test: Document) -> str:
    origin = test["origin"]
    if origin is None:
        return "not looked at"
    if origin["source"] == "missing":
        return "is not set"
    if origin["source"] == "unknown":
        return "is not known"
    value = _json(test["seen"])
    if origin["source"] == "request":
        return f"is {value} in the request"
    if origin["source"] != "stored":
        return f"is {value}, {origin['source']}"
    written = f", written {origin['written_at']}" if origin["written_at"] else ""
    return f"is {value}, stored{written}, version {origin['version']}"


def _rollout(rollout: Document) -> str:
    who = rollout["identified_by"].replace("_", " ")
    if rollout["identifier"] is not None:
        who += f" {rollout['identifier']}"
    verdict = "inside" if rollout["is_inside"] else "outside"
    return (
        f"rollout {_percent(rollout['rollout_percentage'])}: {who} "
        f"is at {_percent(rollout['percentage'])}, {verdict}"
    )


def _variants(draw: Document) -> str:
    if draw["is_fixed"]:
        return f"variant {draw['variant']}, as the condition names it"
    ranges = ", ".join(
        f"{each['key']} {_number(each['start'])}-{_percent(each['end'])}" for each in draw["ranges"]
    )
    return f"variant {draw['variant']}: drawn {_percent(draw['percentage'])} of {ranges}"


def _cohort(cohort: Document) -> Iterator[str]:
    name = f" {cohort['name']}" if cohort["name"] else ""
    about = cohort["group_type"] or "persons"
    verdict = "is in it" if cohort["matched"] else "is not in it"
    yield f"cohort {cohort['id']}{name}, of {about}: {verdict}"
    if cohort["filters"] is None:
        yield f"{_INDENT}its members are listed"
    else:
        yield from _indented(_filters([cohort["filters"]]))


def _indented(texts: Iterator[str]) -> Iterator[str]:
    return (_INDENT + text for text in texts)


def _percent(number: float) -> str:
    return f"{_number(number)} %"


def _number(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")


def _json(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"

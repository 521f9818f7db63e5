"""A server with a little of everything, and an OpenAPI document that says what there is."""

import copy
import json

from tests.documented import only_sent, validator
from tests.server import SECRET_KEY, TOKEN

RULES = {
    "properties": {
        "type": "AND",
        "values": [{"key": "plan", "type": "person", "value": "gold"}],
    }
}
FLAGS = (
    {"key": "beta", "filters": {"groups": [{"rollout_percentage": 50}]}, "tags": ["x"]},
    {
        "key": "limits",
        "filters": {"groups": [{"rollout_percentage": 100}], "payloads": {"true": "5"}},
        "is_remote_configuration": True,
    },
)
COHORTS = (
    {"name": "gold", "is_static": False, "filters": RULES, "group_type_index": None},
    {"name": "some", "is_static": True, "members": ["user-1"], "group_type_index": None},
)
EVALUATED = {
    "active": True,
    "archived": False,
    "deleted": False,
    "bucketing_identifier": None,
    "evaluation_contexts": [],
    "evaluation_runtime": None,
}
EVENT = {"api_key": TOKEN, "event": "signed in", "distinct_id": "user-1"}
NEWEST = "newest"
"""Of changes and schedules, which nobody knows before."""
LATE = {"scheduled_at": "2999-01-01T00:00:00Z", "change": {"tags": ["late"]}}

# Where there is one, nothing else is asked for; where there are several, others are as well.
PARAMETERS = {
    "project": ["@current", "1"],
    "id": [2, 1],
    "key": ["limits", "beta", "plan"],
    "flag": ["beta", "1"],
    "schedule": [NEWEST],
    "token": [TOKEN],
    "name": ["array.js", "recorder.js"],
    "distinct_id": ["user-1", "anon-1"],
    "group_type_index": [0, 1],
    "group_key": ["acme", "other"],
    "data": [json.dumps(EVENT)],
    "X-Flagstream-Position": ["groups.0.0"],
}
MEMBERS = {
    "token": [TOKEN],
    "api_key": [TOKEN],
    "group_type_index": [0, 1],
    "$unset": ["plan"],
    "id": [NEWEST],
    "ids": [["0-0"]],
}


def arrange(server):
    """Make what there is."""
    for flag in FLAGS:
        server.api("POST", "feature_flags/", flag)
    for cohort in COHORTS:
        server.api("POST", "cohorts/", cohort)
    server.api("POST", "feature_flags/beta/schedule/", LATE)
    server.set_group("organization", "acme", plan="gold")
    server.set_group("project", "acme", plan="gold")
    server.capture(
        {
            "event": "$identify",
            "distinct_id": "user-1",
            "properties": {"$anon_distinct_id": "anon-1", "$set": {"plan": "gold"}},
        },
    )


def put_back(server):
    """Define it as it was, whatever became of it."""
    for flag_id, flag in enumerate(FLAGS, 1):
        server.api("PATCH", f"feature_flags/{flag_id}/", {**EVALUATED, **flag})
    for cohort_id, cohort in enumerate(COHORTS, 1):
        server.api("PATCH", f"cohorts/{cohort_id}/", {"deleted": False, **cohort})
    server.api("PATCH", "", {"is_quota_limited": False})


def newest_change(server, path):
    """The id of the last change of what is to be restored at a path."""
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    answer = server.request("GET", path.replace("/restore", "/activity"), headers=headers)
    return answer.body["results"][0]["id"] if answer.status == 200 else NEWEST


def newest_schedule(server):
    """The id of the last schedule of the first flag."""
    return server.api("GET", "feature_flags/1/schedule/")["results"][0]["id"]


def knowing(open_document):
    """Say in a document what there is, or most of what is made up would be about nothing."""
    known = copy.deepcopy(open_document)
    for operations in known["paths"].values():
        for operation in operations.values():
            _know_parameters(operation)
    for schema in only_sent(known).values():
        _know_members(schema)
    return known


def _know_parameters(operation):
    parameters = operation["parameters"]
    if {"publicToken": []} in operation["security"]:
        parameters.append({"name": "token", "in": "query", "schema": {"type": "string"}})
    for parameter in parameters:
        _know(parameter, "schema", PARAMETERS.get(parameter["name"], ()))


def _know_members(schema):
    members = schema.get("properties", {})
    for name in members:
        _know(members, name, MEMBERS.get(name, ()))
    if not schema.get("additionalProperties", True):
        # Nothing that is made up is of the present version, or of the very same id; and with rates
        # that are made up, nothing would be answered any more but that it is too much.
        rates = {name for name in members if name.endswith("_per_s")}
        for name in members.keys() & {"version", "id"} | rates:
            del members[name]


def _know(members, name, values):
    fitting = list(filter(validator(members[name]).is_valid, values))
    if fitting:
        others = [members[name]] if len(values) > 1 else []
        members[name] = {"anyOf": [{"enum": fitting}, *others]}

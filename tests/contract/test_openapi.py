"""A running server, asked all that its OpenAPI document says, and what it does not."""

import copy
import json

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    CoveragePhaseConfig,
    ExamplesPhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.documented import closed, document
from tests.server import SECRET_KEY, TOKEN, Server

ANSWERS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
LINES = "application/x-ndjson"
# By parameter, or by member of what is sent, what a server has that was just arranged.
KNOWN = {
    "project": ["@current", "1"],
    "id": [1, 2],
    "key": ["beta", "limits"],
    "token": [TOKEN],
    "api_key": [TOKEN],
    "name": ["array.js"],
    "distinct_id": ["user-1", "anon-1"],
    "group_type_index": [0, 1],
    "group_key": ["acme"],
    "$unset": ["plan"],
}


@schemathesis.serializer(LINES)
def as_line(_context, value):
    return json.dumps(value).encode()


@schemathesis.deserializer(LINES)
def from_line(_context, response):
    return json.loads(response.content.partition(b"\n")[0])


def knowing(open_document):
    """Say in a document what there is, so that what is made up is often about that."""
    known = copy.deepcopy(open_document)
    for operations in known["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                _know(parameter, "schema", parameter["name"])
    for schema in known["components"]["schemas"].values():
        for name in schema.get("properties", {}):
            _know(schema["properties"], name, name)
    return known


def _know(members, name, what):
    if what in KNOWN:
        members[name] = {"anyOf": [{"enum": KNOWN[what]}, members[name]]}


def schema_of(described, modes=(), **phases):
    """Read a document; keys are for the tests to send."""
    project = ProjectConfig(
        generation=GenerationConfig(modes=list(modes), with_security_parameters=False),
        phases=PhasesConfig(**phases),
    )
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(described, config=config)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Of a server with a few flags, cohorts, groups and persons."""
    directory = tmp_path_factory.mktemp("openapi")
    script = directory / "posthog-js" / "dist" / "array.js"
    script.parent.mkdir(parents=True)
    script.write_text("0")
    server = Server(directory / "data", posthog_js_dir=script.parents[1])
    try:
        server.start()
        arrange(server)
        yield server.url
    finally:
        server.kill()


def arrange(server):
    payloads = {"groups": [{"rollout_percentage": 100}], "payloads": {"true": "5"}}
    server.create_flag("beta", {"groups": [{"rollout_percentage": 50}]}, tags=["x"])
    server.create_flag("limits", payloads, is_remote_configuration=True)
    plan = {"key": "plan", "type": "person", "value": "gold"}
    rules = {"properties": {"type": "AND", "values": [plan]}}
    server.api("POST", "cohorts/", {"name": "gold", "filters": rules})
    server.api("POST", "cohorts/", {"name": "beta", "is_static": True, "members": ["user-1"]})
    server.set_group("organization", "acme", plan="gold")
    server.set_group("project", "acme", plan="gold")
    server.capture(
        {
            "event": "$identify",
            "distinct_id": "user-1",
            "properties": {"$anon_distinct_id": "anon-1", "$set": {"plan": "gold"}},
        },
    )


@pytest.fixture(scope="module")
def session():
    """Connections that are kept."""
    with requests.Session() as session:
        yield session


def schemes_of(operation):
    """How an operation wants requests to authenticate themselves."""
    return {name for each in operation.definition.raw["security"] for name in each}


everything = schema_of(knowing(closed(document())))


@everything.parametrize()
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_who_may_ask(case, url, session):
    """
    No answer is outside the document, whatever is asked by who may ask it; and of what wants the
    secret key, what is outside the document is refused.
    """
    schemes = schemes_of(case.operation)
    refusals = {missing_required_header, unsupported_method, allow_header_conformance}
    # Of events and lines, a bad one costs none of those beside it.
    if "secretKey" in schemes and case.media_type != LINES:
        refusals.add(negative_data_rejection)

    case.call_and_validate(
        base_url=url,
        session=session,
        headers={"Authorization": f"Bearer {TOKEN if 'bearerToken' in schemes else SECRET_KEY}"},
        checks=[*ANSWERS, *refusals],
    )


guarded = schema_of(
    closed(document()),
    modes=[GenerationMode.POSITIVE],
    examples=ExamplesPhaseConfig(enabled=False),
    coverage=CoveragePhaseConfig(enabled=False),
).include(lambda context: "secretKey" in schemes_of(context.operation))


@guarded.parametrize()
@settings(max_examples=3, suppress_health_check=list(HealthCheck))
def test_who_may_not(case, url, session):
    """
    Who has no key, one that nobody has, or the public token, is refused whatever wants the secret
    key, and the answer is not outside the document.
    """
    for key in ("", "Bearer phs_nobody", f"Bearer {TOKEN}"):
        response = case.call_and_validate(
            base_url=url, session=session, headers={"Authorization": key}, checks=ANSWERS
        )

        assert 401 == response.status_code

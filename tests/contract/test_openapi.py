"""A running server, asked all that its OpenAPI document says, and what it does not."""

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

from tests.contract.arranged import (
    NEWEST,
    arrange,
    knowing,
    newest_change,
    newest_schedule,
    put_back,
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


@schemathesis.serializer(LINES)
def as_line(_context, value):
    return json.dumps(value).encode()


@schemathesis.deserializer(LINES)
def from_line(_context, response):
    return json.loads(response.content.partition(b"\n")[0])


def schema_of(described, modes=(), **phases):
    """Read a document; keys are for the tests to send."""
    project = ProjectConfig(
        generation=GenerationConfig(modes=list(modes), with_security_parameters=False),
        phases=PhasesConfig(**phases),
    )
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(described, config=config)


def schemes_of(operation):
    """How an operation wants requests to authenticate themselves."""
    return {name for each in operation.definition.raw["security"] for name in each}


def asks(examples):
    """How much is asked of an operation; what is made up for schemas may be slow, and large."""
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    directory = tmp_path_factory.mktemp("openapi")
    script = directory / "posthog-js" / "dist" / "array.js"
    script.parent.mkdir(parents=True)
    script.write_text("0")
    rates = {"max_api_requests_per_s": 0, "max_definition_requests_per_s": 0}
    server = Server(directory / "data", posthog_js_dir=script.parents[1], **rates)
    try:
        server.start()
        arrange(server)
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(running):
    """A server with a little of everything."""
    put_back(running)
    return running


@pytest.fixture(scope="module")
def session():
    """Connections that are kept."""
    with requests.Session() as session:
        yield session


def is_endless(context):
    """Tell whether an operation answers without end: nobody who waits for the rest is answered."""
    return "text/event-stream" in json.dumps(context.operation.definition.raw["responses"])


everything = schema_of(knowing(closed(document()))).exclude(is_endless)


@everything.hook
def filter_path_parameters(_context, path_parameters):
    """Leave out lists: with what they are written in, an address may end in the middle."""
    return all(isinstance(each, str | int) for each in (path_parameters or {}).values())


@everything.parametrize()
@asks(15)
def test_who_may_ask(case, server, session):
    """
    No answer is outside the document, whatever is asked by who may ask it; and of what wants the
    secret key, what is outside the document is refused.
    """
    schemes = schemes_of(case.operation)
    refusals = {missing_required_header, unsupported_method, allow_header_conformance}
    if case.body == {"id": NEWEST}:
        case.body = {"id": newest_change(server, case.formatted_path)}
    elif (case.path_parameters or {}).get("schedule") == NEWEST:
        case.path_parameters["schedule"] = newest_schedule(server)
    # Of events and lines, a bad one costs none of those beside it.
    elif "secretKey" in schemes and case.media_type != LINES:
        refusals.add(negative_data_rejection)
    key = TOKEN if "bearerToken" in schemes else SECRET_KEY

    case.call_and_validate(
        base_url=server.url,
        session=session,
        headers={"Authorization": f"Bearer {key}"},
        checks=[*ANSWERS, *refusals],
    )


guarded = schema_of(
    closed(document()),
    modes=[GenerationMode.POSITIVE],
    examples=ExamplesPhaseConfig(enabled=False),
    coverage=CoveragePhaseConfig(enabled=False),
).include(lambda context: "secretKey" in schemes_of(context.operation))


@guarded.parametrize()
@asks(3)
def test_who_may_not(case, running, session):
    """
    Who has no key, one that nobody has, or the public token, is refused whatever wants the secret
    key, and the answer is not outside the document.
    """
    for key in ("", "Bearer phs_nobody", f"Bearer {TOKEN}"):
        response = case.call_and_validate(
            base_url=running.url, session=session, headers={"Authorization": key}, checks=ANSWERS
        )

        assert 401 == response.status_code

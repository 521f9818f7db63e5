"""Traces of a real server, as a collector gets them."""

import subprocess
import sys
import time

import pytest

from tests.collector import collecting
from tests.ofrep import PATH
from tests.server import TOKEN, free_port
from tests.waiting import until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
PUBLIC = {"Authorization": f"Bearer {TOKEN}"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


def identify(server, headers, plan="gold"):
    """Change a group, and wait until that is seen."""
    properties = {"$group_type": "company", "$group_key": "acme", "$group_set": {"plan": plan}}
    event = {"event": "$groupidentify", "distinct_id": "ada", "properties": properties}
    answer = server.request("POST", "/batch/?wait=1", {"api_key": TOKEN, "batch": [event]}, headers)
    assert answer.status == 200, answer


def ask(server, headers):
    body = {"token": TOKEN, "distinct_id": "ada", "person_properties": {"plan": "secret-plan"}}
    return server.request("POST", "/flags/?v=2", body, headers)


@pytest.fixture
def collector():
    with collecting() as collector:
        yield collector


@pytest.fixture
def make_traced(make_server, collector):
    def make(**settings):
        given = {"otlp_endpoint": collector.endpoint, "trace_sample_ratio": 1, **settings}
        server = make_server(**given)
        server.environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"
        server.start()
        return server

    return make


class TestSpans:
    @pytest.mark.parametrize(
        ("api_processes", "asked", "folded"), [(0, "all", "all"), (1, "api-0", "worker")]
    )
    def test_a_request_is_one_trace(self, make_traced, collector, api_processes, asked, folded):
        """
        The trace that a client names goes on in the request, and over the log in each fold.
        """
        server = make_traced(api_processes=api_processes)

        identify(server, SAMPLED)

        def spans():
            folds = collector.spans("fold")
            agents = {fold.facts["flagstream.agent"] for fold in folds}
            return collector.spans("capture") if {"groups", "group-types"} <= agents else ()

        (capture,) = until(spans)
        assert (TRACE, PARENT, asked) == (capture.trace_id, capture.parent_id, capture.process)
        assert "/batch/" == capture.facts["http.route"]
        assert "200" == capture.facts["http.response.status_code"]
        for fold in collector.spans("fold"):
            assert (TRACE, capture.span_id) == (fold.trace_id, fold.parent_id)
            assert folded == fold.process

    def test_flags(self, make_traced, collector):
        """
        A request for flags is a span, also where it is refused.
        """
        server = make_traced()
        assert 200 == ask(server, SAMPLED).status
        assert 400 == server.request("POST", "/flags/?v=2", {"token": "no"}, SAMPLED).status
        context = {"context": {"targetingKey": "ada"}}
        assert 200 == server.request("POST", PATH, context, {**PUBLIC, **SAMPLED}).status
        single = server.request("POST", f"{PATH}/none", context, {**PUBLIC, **SAMPLED})
        assert 404 == single.status

        spans = until(lambda: len(found := collector.spans("evaluate")) == 4 and found)
        assert ["200", "400", "200", "404"] == [
            span.facts["http.response.status_code"] for span in spans
        ]
        assert {(TRACE, PARENT, 0)} == {(s.trace_id, s.parent_id, s.status) for s in spans}

    def test_nothing_of_what_is_said(self, make_traced, collector):
        """
        No property, key or token is told to a collector.
        """
        server = make_traced()
        identify(server, SAMPLED, plan="secret-plan")
        assert 200 == ask(server, SAMPLED).status
        body = {"api_key": TOKEN, "batch": [{"event": {"bad": "secret-plan"}}]}
        assert 400 == server.request("POST", "/batch/", body, SAMPLED).status
        until(lambda: len(collector.spans("capture")) == 2 and collector.spans("fold"))
        assert 0 == server.terminate()

        told = b"".join(collector.raw)
        assert not [
            text for text in (b"secret-plan", b"acme", b"ada", TOKEN.encode()) if text in told
        ]


class TestSampling:
    def test_client_says_no(self, make_traced, collector):
        """
        What a client does not sample is not sampled here either; what it says nothing of, is.
        """
        server = make_traced()
        ask(server, NOT_SAMPLED)
        ask(server, {})
        assert 0 == server.terminate()

        (span,) = collector.spans()
        assert span.trace_id != TRACE
        assert "" == span.parent_id

    def test_client_cannot_say_yes(self, make_traced, collector):
        """
        How many requests are sampled is no matter of strangers.
        """
        server = make_traced(trace_sample_ratio=0)
        identify(server, SAMPLED)
        ask(server, SAMPLED)
        assert 0 == server.terminate()

        assert [] == collector.raw


class TestCollectorThatIsGone:
    def test_nobody_waits(self, make_server):
        """
        Without its collector a server answers as ever, and ends in time.
        """
        server = make_server(otlp_endpoint=f"http://127.0.0.1:{free_port()}", trace_sample_ratio=1)
        server.environment["OTEL_BSP_SCHEDULE_DELAY"] = "50"
        server.start()
        for _ in range(20):
            assert 200 == ask(server, SAMPLED).status
            identify(server, SAMPLED)

        began_s = time.monotonic()
        assert 0 == server.terminate()
        assert time.monotonic() - began_s < 8


class TestOff:
    def test_nothing_is_imported(self):
        """
        Who names no collector does not even import what makes spans.
        """
        program = (
            "import sys, flagstream.worker, flagstream.api_process; "
            "print([name for name in sys.modules if name.startswith('opentelemetry')])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

        assert "[]\n" == ran.stdout

"""Traces over Kafka: from the node that accepts to the one that folds."""

import pytest

from tests.collector import collecting
from tests.crash.test_traces import SAMPLED, TRACE, identify
from tests.waiting import until

pytestmark = pytest.mark.broker


class TestSpans:
    def test_over_two_nodes(self, kafka, make_server):
        """
        Records carry the trace of their request in a header, so a worker's folds belong to it.
        """
        with collecting() as collector:
            given = {"otlp_endpoint": collector.endpoint, "trace_sample_ratio": 1}
            nodes = [
                make_server(broker_url=kafka.url, role=role, **given) for role in ("worker", "api")
            ]
            for node in nodes:
                node.environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"
                node.start()
            identify(nodes[1], SAMPLED)

            until(lambda: collector.spans("capture") and collector.spans("fold"))
            for node in nodes:
                node.terminate()

            (capture,) = collector.spans("capture")
            assert ("api", TRACE) == (capture.process, capture.trace_id)
            assert {("worker", TRACE, capture.span_id)} == {
                (fold.process, fold.trace_id, fold.parent_id) for fold in collector.spans("fold")
            }
            assert {"groups", "group-types"} <= {
                fold.facts["flagstream.agent"] for fold in collector.spans("fold")
            }

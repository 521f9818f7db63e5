"""Captured events: envelopes, tokens, times, and what an event changes."""

import base64
import contextlib
import gzip
import json
import zlib
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lzstring import LZString

from flagstream.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    RequestError,
    UnauthenticatedError,
)
from flagstream.wire import Merge, MergeRule, decode_body, parse_capture

CASES = Path(__file__).parents[2] / "conformance" / "cases"
REQUESTS = json.loads((CASES / "capture_requests.json").read_text())
REFUSED = json.loads((CASES / "capture_refused_events.json").read_text())
NEVER = json.loads((CASES / "never_merged.json").read_text())
NOW_MS = 1_767_607_200_500  # 2026-01-05T10:00:00.500Z
EVENT = {"event": "ev", "distinct_id": "user-1"}
# Decoding has made floats of other integers.
INTEGERS = st.integers(-(2**63), 2**64 - 1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
MERGES = ["$identify", "$create_alias", "$merge_dangerously"]
MEMBERS = ["event", "uuid", "distinct_id", "properties", "timestamp", "offset", "$set", "$unset"]
PROPERTIES = [
    *("$groups", "$set", "$set_once", "$group_type", "$group_key", "$anon_distinct_id", "alias"),
]
LOOSE_EVENTS = ANYTHING | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(MEMBERS, ANYTHING),
        "event": st.sampled_from(["ev", "$groupidentify", *MERGES]),
        "properties": st.dictionaries(st.sampled_from(PROPERTIES), ANYTHING),
    },
)


def wrapped(case):
    """Wrap a case's body as its client does."""
    raw = json.dumps(case["body"]).encode()
    query = dict(case["query"])
    match case["wrapping"]:
        case "gzip":
            raw = gzip.compress(raw)
        case "deflate":
            raw = zlib.compress(raw)
        case "base64-form":
            raw = b"data=" + quote(base64.b64encode(raw), safe="").encode()
        case "lz64-form":
            raw = b"data=" + quote(LZString.compressToBase64(raw.decode()), safe="").encode()
        case "pixel":
            raw, query["data"] = b"", base64.b64encode(raw).decode()
    return raw, query


def capture(body, query=None, **options):
    return parse_capture(body, query or {}, received_ms=NOW_MS, **options)


def only_event(**members):
    captured = capture({"token": "phc_one", **EVENT, **members})
    assert [] == captured.rejections
    return captured.events[0][1]


class TestRequests:
    @pytest.mark.parametrize("case", REQUESTS, ids=[case["name"] for case in REQUESTS])
    def test_as_recorded(self, case):
        """
        What the clients in use send is read as they mean it.
        """
        raw, query = wrapped(case)
        decoded = decode_body(
            raw,
            query=query,
            content_encoding=case["content_encoding"],
            max_bytes=100_000,
            max_depth=64,
        )
        name = "$identify" if case["path"] == "/engage/" else ""
        captured = capture(decoded, query, default_name=name)
        events = [json.loads(msgspec.json.encode(event)) for _, event in captured.events]

        assert case["token"] == captured.token
        assert case["events"] == [
            {
                **{name: event[name] for name in case["events"][0] if name != "age_ms"},
                "age_ms": NOW_MS - event["time_ms"],
            }
            for event in events
        ]


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSED, ids=[case["name"] for case in REFUSED])
    def test_names_the_field(self, case):
        """
        A malformed event is refused with the field, the good one beside it is kept.
        """
        captured = capture({"token": "phc_one", "batch": [case["event"], EVENT]})
        (refused,) = captured.rejections

        assert (0, case["field"]) == (refused.index, refused.field)
        assert refused.detail.startswith(f"{case['field']}: expected ")
        assert [1] == [index for index, _ in captured.events]

    @given(loose=st.lists(LOOSE_EVENTS, max_size=5), good=st.lists(st.integers(0, 5), max_size=3))
    def test_good_ones_survive(self, loose, good):
        """
        Whatever is beside them, good events come through in their places.
        """
        batch = list(loose)
        for position, number in enumerate(good):
            batch.insert(number, {**EVENT, "event": f"good {position}"})
        captured = capture({"token": "phc_one", "batch": batch or [EVENT]})
        places = {event.name: index for index, event in captured.events}

        assert all(
            batch[places[f"good {position}"]]["event"] == f"good {position}"
            for position in range(len(good))
        )
        assert len(batch or [EVENT]) == len(captured.events) + len(captured.rejections)

    @given(decoded=ANYTHING | st.lists(LOOSE_EVENTS, max_size=2) | LOOSE_EVENTS)
    def test_total(self, decoded):
        """
        Whatever was decoded, there are events or an error for the client.
        """
        with contextlib.suppress(RequestError):
            capture(decoded, {"token": "phc_one"})

    @pytest.mark.parametrize("body", [[], {"batch": []}, {"batch": {}}, {"batch": None}, "x", None])
    def test_no_events(self, body):
        """
        A request without events is refused.
        """
        with pytest.raises(InvalidRequestError):
            capture(body, {"token": "phc_one"})

    def test_too_many(self):
        """
        More events than a request may carry are refused with 413, so that clients halve them.
        """
        with pytest.raises(BodyTooLargeError):
            capture({"token": "phc_one", "batch": [EVENT] * 5_001})


class TestToken:
    @pytest.mark.parametrize(
        ("body", "query", "token"),
        [
            ({"api_key": "a", "batch": [{**EVENT, "token": "b"}]}, {}, "a"),
            ({"token": "a", "batch": [EVENT]}, {}, "a"),
            ({"batch": [{**EVENT, "properties": {"token": "a"}}, EVENT]}, {}, "a"),
            ([{**EVENT, "token": "a"}, {**EVENT, "api_key": "a"}], {}, "a"),
            ([EVENT], {"api_key": "a"}, "a"),
            ({**EVENT, "properties": {"token": "a"}}, {}, "a"),
        ],
    )
    def test_places(self, body, query, token):
        """
        The envelope's token goes before those of its events, and these before the query's.
        """
        assert token == capture(body, query).token

    @pytest.mark.parametrize(
        "body",
        [
            [EVENT],
            [{**EVENT, "token": "a"}, {**EVENT, "token": "b"}],
            [{**EVENT, "token": 5}],
            {**EVENT, "api_key": "phx_personal"},
        ],
    )
    def test_refused(self, body):
        """
        None, two different ones, and a personal key are no token.
        """
        with pytest.raises(UnauthenticatedError) as refused:
            capture(body)

        assert "phx_personal" not in refused.value.detail


class TestTime:
    @pytest.mark.parametrize(
        ("event", "sent_at", "query", "time_ms"),
        [
            ({}, None, {}, NOW_MS),
            ({"timestamp": "2026-01-05T10:00:00.100Z"}, None, {}, NOW_MS - 400),
            ({"timestamp": "2026-01-05T10:00:00.100"}, None, {}, NOW_MS - 400),
            ({"timestamp": "2026-01-05T11:00:00.100+01:00"}, None, {}, NOW_MS - 400),
            ({"timestamp": "2031-01-05T10:00:00Z"}, "2031-01-05T10:00:07Z", {}, NOW_MS - 7_000),
            (
                {"timestamp": "2031-01-05T10:00:00Z", "properties": {"$ignore_sent_at": True}},
                "2031-01-05T10:00:07Z",
                {},
                1_925_373_600_000,
            ),
            ({"timestamp": "2026-01-05T10:00:00Z"}, None, {"_": "1767607200300"}, NOW_MS - 300),
            ({"timestamp": "2026-01-05T10:00:00Z"}, None, {"_": "1767607200"}, NOW_MS - 500),
            ({"timestamp": "2026-01-05T10:00:00Z"}, None, {"sent_at": "²"}, NOW_MS - 500),
            ({"timestamp": "yesterday"}, "2026-01-05T10:00:00Z", {}, NOW_MS),
            ({"timestamp": 5}, None, {}, NOW_MS),
            ({"offset": 300}, None, {}, NOW_MS - 300),
            ({"offset": -300}, None, {}, NOW_MS),
            ({"offset": True}, None, {}, NOW_MS),
            ({"timestamp": "0001-01-01T00:00:00+23:00"}, None, {}, -62_135_679_600_000),
        ],
    )
    def test_corrected(self, event, sent_at, query, time_ms):
        """
        A client's wrong clock is taken out, unless it asks for its own.
        """
        body = {"token": "phc_one", "batch": [{**EVENT, **event}], "sent_at": sent_at}
        ((_, captured),) = capture(body, query).events

        assert (time_ms, NOW_MS) == (captured.time_ms, captured.received_ms)


class TestEvent:
    def test_uuid_is_made(self):
        """
        An event without a uuid gets one of version 7; others are written in the usual form.
        """
        assert ["7", "7"] == [only_event(uuid=uuid).uuid[14] for uuid in (None, "")]
        assert "0123abcd-0000-4000-8000-000000000000" == (
            only_event(uuid="0123ABCD000040008000000000000000").uuid
        )

    def test_id_is_cut(self):
        """
        Of an id the first 200 characters count, and the outer one goes first.
        """
        event = only_event(distinct_id="u" * 300, properties={"distinct_id": "inner"})

        assert "u" * 200 == event.distinct_id

    @pytest.mark.parametrize(
        ("event", "distinct_id"),
        [
            ({"distinct_id": "a", "$distinct_id": "b"}, "a"),
            ({"$distinct_id": "b", "properties": {"distinct_id": "c"}}, "b"),
            ({"distinct_id": None, "$distinct_id": "", "properties": {"distinct_id": "c"}}, "c"),
            ({"distinct_id": 5}, "5"),
            ({"distinct_id": {"a": [1]}}, '{"a":[1]}'),
        ],
    )
    def test_places_of_the_id(self, event, distinct_id):
        """
        An id is taken from each place that clients know, the outermost first, whatever it is.
        """
        captured = capture({"token": "phc_one", "event": "ev", **event})

        assert distinct_id == captured.events[0][1].distinct_id

    @pytest.mark.parametrize(
        ("anonymous_id", "merge"),
        [
            ("anon-1", "anon-1"),
            (7, "7"),
            ("a" * 300, "a" * 200),
            ({"id": 7}, '{"id":7}'),
            ("user-1", None),
            (None, None),
            (True, None),
            (0, None),
        ],
    )
    def test_other_id(self, anonymous_id, merge):
        """
        The other id may be of any type; itself and nothing are none.
        """
        person = only_event(
            event="$identify",
            properties={"$anon_distinct_id": anonymous_id, "$set": {"a": 1}},
        ).person

        assert merge == (person.merge and person.merge.distinct_id)

    @pytest.mark.parametrize(
        ("name", "field", "rule"),
        [
            ("$identify", "$anon_distinct_id", MergeRule.ANONYMOUS),
            ("$create_alias", "alias", MergeRule.EITHER),
            ("$merge_dangerously", "alias", MergeRule.FORCED),
        ],
    )
    def test_which_goes_into_which(self, name, field, rule):
        """
        Three events say that two ids are one person, each with a rule of its own; no other does.
        """
        properties = {"$anon_distinct_id": "anon-1", "alias": "anon-1"}

        assert Merge("anon-1", rule, f"properties.{field}") == (
            only_event(event=name, properties=properties).person.merge
        )
        assert only_event(event="ev", properties=properties).person is None

    @pytest.mark.parametrize("name", MERGES)
    @pytest.mark.parametrize("never", [*NEVER["any_case"], *NEVER["exactly"], " "], ids=repr)
    def test_never_merged(self, name, never):
        """
        Ids that many people share because a client's code went wrong are merged with nothing,
        neither as the event's own nor as the other one; for most the case does not matter.
        """
        spellings = {never, *((never.upper(), never.title()) if never in NEVER["any_case"] else ())}
        # An event without a distinct id is refused.
        pairs = [("user-1", each) for each in spellings] + [
            (each, "a") for each in spellings if each
        ]

        persons = [
            only_event(
                event=name,
                distinct_id=own,
                properties={"$anon_distinct_id": other, "alias": other, "$set": {"a": 1}},
            ).person
            for own, other in pairs
        ]

        assert {None} == {person.merge for person in persons}
        assert [{"a": 1}] * len(pairs) == [person.set for person in persons]

    @pytest.mark.parametrize("other", ["nan", "NONE", "NULL", "[object object]", "00", "my-id"])
    def test_other_spellings_are_merged(self, other):
        """
        What only looks like one of them is an id.
        """
        event = only_event(event="$identify", properties={"$anon_distinct_id": other})

        assert other == event.person.merge.distinct_id

    @pytest.mark.parametrize(
        ("name", "properties", "makes"),
        [
            ("ev", {}, True),
            ("$identify", {"$anon_distinct_id": "anon-1"}, True),
            ("ev", {"$process_person_profile": True}, True),
            ("ev", {"$process_person_profile": False}, False),
            ("$identify", {"$process_person_profile": False}, False),
            ("$groupidentify", {"$group_type": "company", "$group_key": "a"}, False),
        ],
    )
    def test_makes_person(self, name, properties, makes):
        """
        Every event makes its id a person, but for those that ask for none and changes of groups,
        for which backends make up an id.
        """
        assert makes is only_event(event=name, properties=properties).makes_person

    def test_no_profile(self):
        """
        An event that asks for no profile changes no person.
        """
        event = only_event(properties={"$set": {"a": 1}, "$process_person_profile": False})

        assert event.person is None

    @pytest.mark.parametrize(
        ("properties", "session_id"),
        [
            ({"$session_id": "s"}, "s"),
            ({"$session_id": "s", "$is_server": True}, None),
            ({"$session_id": ""}, None),
            ({"$session_id": 5}, None),
            ({"$session_id": "s" * 300}, "s" * 200),
        ],
    )
    def test_session(self, properties, session_id):
        """
        Events of a server are in nobody's session.
        """
        assert session_id == only_event(properties=properties).session_id

    @pytest.mark.parametrize(
        ("unset", "names"), [(["a", "b"], ["a", "b"]), ({"a": "", "b": ""}, ["a", "b"])]
    )
    def test_unset(self, unset, names):
        """
        Names to be removed come as a list or as an object's keys.
        """
        change = only_event(
            event="$groupidentify",
            properties={"$group_type": "t", "$group_key": "k", "$group_unset": unset},
        ).group

        assert names == list(change.unset)

"""What is just within a limit of an event, and what is just over it."""

import pytest

from flagstream.errors import InvalidRequestError
from flagstream.limits import MAX_EVENTS
from flagstream.warning_kinds import WarningKind
from flagstream.wire import EventLimits, flattened, group_change, parse_capture, parse_flags_request

LIMITS = EventLimits(properties=5, property_depth=3)
WIDE = "🙂"  # one character, two in JavaScript, four bytes


def captured(event):
    body = {"token": "phc_one", "batch": [{"event": "ev", "distinct_id": "u", **event}]}
    return parse_capture(body, {}, received_ms=1_000, limits=LIMITS)


def only_event(event):
    ((_, parsed),) = captured(event).events
    return parsed


def named(count, start=0):
    return {f"p{number}": number for number in range(start, start + count)}


def nested(depth):
    value = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


class TestCut:
    @pytest.mark.parametrize("letter", ["a", "é", WIDE])
    @pytest.mark.parametrize(
        ("kind", "make", "read"),
        [
            ("event_name_cut", lambda text: {"event": text}, lambda event: event.name),
            ("id_cut", lambda text: {"distinct_id": text}, lambda event: event.distinct_id),
            (
                "id_cut",
                lambda text: {"properties": {"$session_id": text}},
                lambda event: event.session_id,
            ),
            (
                "id_cut",
                lambda text: {"event": "$identify", "properties": {"$anon_distinct_id": text}},
                lambda event: event.person.merge.distinct_id,
            ),
        ],
    )
    def test_at_200(self, kind, make, read, letter):
        """
        Names and ids of 200 characters are whole, and cut to that with one more; whatever script.
        """
        within, over = only_event(make(letter * 200)), only_event(make(letter * 201))

        assert [letter * 200] * 2 == [read(within), read(over)]
        assert [] == within.losses
        assert [(kind, "at most 200 characters", "201 characters")] == [
            (loss.kind, loss.expected, loss.got) for loss in over.losses
        ]


class TestGroups:
    @pytest.mark.parametrize("letter", ["a", WIDE])
    @pytest.mark.parametrize("is_type", [False, True])
    def test_names(self, letter, is_type):
        """
        A group whose key or type has more than 400 characters is left out; the others stay.
        """

        def groups(count):
            long = {letter * count: "k"} if is_type else {"t": letter * count}
            return only_event({"properties": {"$groups": {**long, "other": "k"}}})

        within, over = groups(400), groups(401)

        assert (2, []) == (len(within.groups), within.losses)
        assert {"other": "k"} == over.groups
        ((kind, field, _, got),) = over.losses
        assert ("group_name_too_long", "properties.$groups", "401 characters") == (kind, field, got)

    def test_how_many(self):
        """
        Of more than a hundred groups the first are taken.
        """
        many = {str(number): "k" for number in range(101)}
        event = only_event({"properties": {"$groups": many}})

        assert list(many)[:100] == list(event.groups)
        assert [("too_many_groups", "101 groups")] == [(loss[0], loss[3]) for loss in event.losses]

    @pytest.mark.parametrize("member", ["$group_key", "$group_type"])
    def test_identified(self, member):
        """
        A change of a group whose name is too long is refused: cut, it would be of another group.
        """

        def identify(count):
            names = {"$group_type": "t", "$group_key": "k", member: "x" * count}
            return captured({"event": "$groupidentify", "properties": names})

        within, over = identify(400), identify(401)

        assert (1, 0) == (len(within.events), len(over.events))
        (refused,) = over.rejections
        assert ("group_name_too_long", f"properties.{member}") == (refused.loss.kind, refused.field)
        detail = f"properties.{member}: expected at most 400 characters, got 401 characters"
        assert detail == refused.detail

    @pytest.mark.parametrize(
        "groups", [{"t": "k" * 401}, {str(number): "k" for number in range(101)}]
    )
    def test_asked_for(self, groups):
        """
        A flag request is refused: without the group, its flags would be those of another.
        """
        with pytest.raises(InvalidRequestError, match=r"^groups: expected at most") as refused:
            parse_flags_request({"token": "t", "distinct_id": "u", "groups": groups}, {})

        assert ("invalid_input", "groups") == (refused.value.code, refused.value.attr)


HOLDERS = {
    "properties": lambda values: {"properties": values},
    "properties.$set": lambda values: {"$set": values},
    "properties.$set_once": lambda values: {"properties": {"$set_once": values}},
    "properties.$group_set": lambda values: {
        "event": "$groupidentify",
        "properties": {"$group_type": "t", "$group_key": "k", "$group_set": values},
    },
}


def held(event, holder):
    """Read what became of properties."""
    match holder:
        case "properties":
            return event.properties
        case "properties.$group_set":
            assert event.properties["$group_set"] == event.group.set
            return event.group.set
        case "properties.$set":
            return event.person.set
        case _:
            return event.person.set_once


@pytest.mark.parametrize("holder", HOLDERS)
class TestProperties:
    def test_how_many(self, holder):
        """
        Of more properties than may be the first are kept.
        """
        within, over = (only_event(HOLDERS[holder](named(count))) for count in (5, 6))

        assert [named(5)] * 2 == [held(within, holder), held(over, holder)]
        assert [] == within.losses
        assert [("too_many_properties", holder, "at most 5 properties", "6 properties")] == [
            tuple(loss) for loss in over.losses
        ]

    def test_long_names(self, holder):
        """
        A property whose name has more than 1,000 characters is dropped, the one beside it is kept.
        """
        within = only_event(HOLDERS[holder]({WIDE * 1_000: 1, "a": 1}))
        over = only_event(HOLDERS[holder]({WIDE * 1_001: 1, "a": 1}))

        assert ({WIDE * 1_000, "a"}, {"a"}) == (set(held(within, holder)), set(held(over, holder)))
        assert [] == within.losses
        ((kind, field, _, got),) = over.losses
        assert (kind, got) == ("property_name_too_long", "1001 characters")
        assert f"{holder}.{WIDE * 40}…" == field

    @pytest.mark.parametrize("value", [nested(4), [[[[1]]]]])
    def test_deep(self, holder, value):
        """
        A property that is nested deeper than may be is dropped, the one beside it is kept.
        """
        event = only_event(HOLDERS[holder]({"deep": value, "a": nested(3)}))
        flat = flattened(event, LIMITS.property_depth)

        assert {"a": nested(3)} == held(flat, holder)
        assert [("property_too_deep", f"{holder}.deep")] == [loss[:2] for loss in flat.losses]
        assert flattened(flat, LIMITS.property_depth) is flat


class TestRemovals:
    def test_names(self):
        """
        Names of properties that are to be removed are bounded alike.
        """
        names = ["x" * 1_001, *map(str, range(6))]
        event = only_event({"$unset": names})

        assert names[1:6] == event.person.unset
        assert ["property_name_too_long", "too_many_properties"] == [
            loss.kind for loss in event.losses
        ]


class TestOverTheApi:
    @pytest.mark.parametrize(
        ("members", "kind"),
        [
            ({"group_key": "k" * 401}, "group_name_too_long"),
            ({"group_properties": named(6)}, "too_many_properties"),
            ({"group_properties": {"x" * 1_001: 1}}, "property_name_too_long"),
            ({"set_once": {"a": nested(4)}}, "property_too_deep"),
            ({"unset": ["x" * 1_001]}, "property_name_too_long"),
        ],
    )
    def test_refused(self, members, kind):
        """
        Who is answered is told: nothing is cut, and nothing left out.
        """
        with pytest.raises(InvalidRequestError, match=r"expected at most .*, got") as refused:
            group_change({"group_type": "t", "group_key": "k", **members}, LIMITS)

        assert kind == refused.value.loss.kind
        assert next(iter(members)) in refused.value.attr


def test_many_events():
    """
    A request may carry 5,000 events.
    """
    events = [{"event": "ev", "distinct_id": "u"}] * (MAX_EVENTS + 1)
    within = parse_capture({"token": "t", "batch": events[1:]}, {}, received_ms=1)

    assert 5_000 == len(within.events)
    with pytest.raises(Exception, match="expected at most 5000 events, got 5001"):
        parse_capture({"token": "t", "batch": events}, {}, received_ms=1)


@pytest.mark.parametrize(
    ("event", "got"),
    [
        ({"distinct_id": None}, "nothing"),
        ({"distinct_id": ""}, "text of 0 characters"),
        ({"uuid": "secret"}, "text of 6 characters"),
        ({"uuid": 5}, "a number"),
        ({"properties": [1, 2]}, "a list of 2"),
        ({"properties": {"$set": True}}, "a boolean"),
        ({"event": {"a": "secret"}}, "an object of 1"),
    ],
)
def test_no_values(event, got):
    """
    What is kept of a refused event says the type and size of what came, not the value.
    """
    (refused,) = captured(event).rejections

    assert (WarningKind.INVALID_EVENT, got) == (refused.loss.kind, refused.loss.got)

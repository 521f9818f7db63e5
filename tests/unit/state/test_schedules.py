"""Schedules put together from their parts."""

import msgspec

from flagstream.state.schedules import (
    Course,
    End,
    Mark,
    Part,
    Plan,
    Step,
    part_name,
    parts_of,
    schedule_of,
)

PLAN = Plan(
    flag_id=1,
    flag_key="new",
    author="me",
    time_ms=1,
    steps=[Step(at_ms=5, change={"active": False}), Step(at_ms=9, rollout_percentage=50)],
)
MARK = Mark(step=2, time_ms=9, version=3, change_id="x")
END = End(status="stopped", time_ms=7, author="me")


def body(record):
    return msgspec.to_builtins(record)


class TestSchedule:
    def test_parts(self):
        """
        A schedule is what its parts say, whichever were written first.
        """
        bodies = {
            part_name("b", Part.PLAN): body(PLAN),
            part_name("a", Part.END): body(END),
            part_name("a", Part.COURSE): body(Course(marks=[MARK])),
            part_name("a", Part.PLAN): body(PLAN),
        }

        whole, planned = [schedule_of(*each) for each in parts_of(bodies).items()]

        assert ("a", PLAN, 2, END, False) == (
            whole.id,
            whole.plan,
            whole.marked,
            whole.end,
            whole.is_open,
        )
        assert ("b", Course(), 0, None, True) == (
            planned.id,
            planned.course,
            planned.marked,
            planned.end,
            planned.is_open,
        )

    def test_of_a_newer_version(self):
        """
        Parts of other names are passed over; what cannot be read is no schedule.
        """
        plan = body(PLAN)

        assert PLAN == schedule_of("a", {"plan": plan, "forecast": {}}).plan
        assert schedule_of("a", {"plan": {**plan, "steps": "every day"}}) is None
        assert schedule_of("a", {"end": body(END)}) is None

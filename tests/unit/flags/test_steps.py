"""Long work that is done in steps, or in one go."""

import pytest

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    Steps,
    compile_project,
    finished,
    local_definitions,
    parse_project,
    stepwise,
)
from tests.fakes.definitions import GROUP_TYPES
from tests.projects import project_of

FLAGS = 50
DEFINITIONS = Definitions(
    flags={f"flag-{number}": {"key": f"flag-{number}"} for number in range(FLAGS)},
    group_types=GROUP_TYPES,
)


@stepwise
def squared(numbers: list[int]) -> Steps[list[int]]:
    """Square them."""
    found = []
    for number in numbers:
        found.append(number**2)
        yield
    return found


def counted(steps):
    return sum(1 for _ in steps)


class TestStepwise:
    def test_in_one_go(self):
        """
        A function in steps is called like any other, and is named and described like itself.
        """
        assert [1, 4, 9] == squared([1, 2, 3])
        assert ("squared", "Square them.") == (squared.__name__, squared.__doc__)

    def test_step_by_step(self):
        """
        Nothing is done before it is asked for.
        """
        steps = squared.steps([1, "two"])
        next(steps)

        with pytest.raises(TypeError):
            finished(steps)

    @pytest.mark.parametrize(
        "steps",
        [
            lambda: parse_project.steps(DEFINITIONS),
            lambda: compile_project.steps(parse_project(DEFINITIONS)),
            lambda: CompiledFlags.steps_of(project_of(DEFINITIONS)),
            lambda: local_definitions.steps(project_of(DEFINITIONS), remembers_groups=True),
        ],
        ids=["parse", "compile", "index", "documents"],
    )
    def test_no_step_is_for_many_flags(self, steps):
        """
        Whatever is done for all flags of a project pauses behind each of them.
        """
        assert FLAGS <= counted(steps())

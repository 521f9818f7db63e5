"""Previews in a terminal."""

import json

import pytest

from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, record_key
from flagstream.views import ViewStore
from tests.fakes.world import World
from tests.filters import group_filters

PLANS = {"acme": "gold", "globex": "gold", "initech": "free"}
TABLE = """\
new, over 3 groups of type company
  now   0 on, 3 off
  then  2 on (a 2), 1 off
  join  2: acme, globex
  leave 0
  stay  0
  move  0
"""


@pytest.fixture
def world(tmp_path):
    world = World(views=tmp_path / "views")
    store, fold = ViewStore(world.views), REDUCERS[Table.GROUPS].fold
    groups = {
        record_key(1, "company", name): GroupUpdate(time_ms=1, set={"plan": plan}).to_bytes()
        for name, plan in PLANS.items()
    }
    store.write({b"g" + key: fold(None, update, 1) for key, update in groups.items()}, {})
    store.close()
    return world


@pytest.fixture
def file(tmp_path):
    """A flag for those on the plan gold."""
    variants = {"multivariate": {"variants": [{"key": "a", "rollout_percentage": 100}]}}
    file = tmp_path / "new.json"
    file.write_text(json.dumps({"key": "new", "filters": group_filters(plan="gold") | variants}))
    return file


class TestPreview:
    async def test_as_a_table(self, command, file):
        """
        What applying a file would do can be read before it is done.
        """
        ran = await command("preview", file)

        assert (0, TABLE) == (ran.exit_code, ran.stdout)

    async def test_a_list(self, command, file):
        """
        All names of a list are printed, with what they get.
        """
        ran = await command("preview", file, "--list", "join")

        assert 'acme\tfalse\t"a"\nglobex\tfalse\t"a"\n' == ran.stdout

    async def test_as_json(self, command, file):
        """
        A program gets all that the server says.
        """
        ran = await command("preview", file, "--json")

        assert {"a": 2} == json.loads(ran.stdout)["then"]["variants"]

    async def test_nothing_to_change(self, command, file):
        """
        What is on the server already needs no preview.
        """
        await command("apply", file)

        ran = await command("preview", file)

        assert "no flag would be changed\n" == ran.stdout

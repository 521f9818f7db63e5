"""The commands, from what is typed to what is printed, against the real API."""

import json

import pytest

from flagstream.management import new_row
from flagstream.ports import DeadLetter
from flagstream.state.access import Tenant
from flagstream.state.definitions import Kind
from tests.fakes.access import OPERATOR_KEY, OTHER_PROJECT, PROJECT

from .running import run

FLAG = {"key": "new", "filters": {"groups": [{"properties": [], "rollout_percentage": 50}]}}
EARLY = {"id": 5, "name": "Early", "is_static": True, "members": ["b", "a"]}
GOLD = {
    "id": 98,
    "name": "Gold",
    "filters": {
        "properties": {
            "type": "OR",
            "values": [
                {"key": "plan", "type": "person", "value": "gold"},
                {"key": "id", "type": "cohort", "value": 5},
                {"key": "1", "type": "flag", "operator": "flag_evaluates_to", "value": True},
            ],
        }
    },
}
IN_GOLD = {
    "key": "in-gold",
    "filters": {"groups": [{"properties": [{"key": "id", "type": "cohort", "value": 98}]}]},
}
COMMANDS = [
    "serve",
    "apply",
    "export",
    "check",
    "explain",
    "preview",
    "schedule",
    "schedule add",
    "schedule list",
    "schedule stop",
    "schedule revert",
    "schedule resume",
    "verify",
    "keys",
    "keys create",
    "keys list",
    "keys revoke",
    "keys rotate",
    "projects",
    "projects create",
    "projects list",
    "projects archive",
    "projects rotate-token",
    "backup",
    "restore",
    "dead-letters",
    "dead-letters list",
    "dead-letters replay",
    "topics",
    "topics migrate",
]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "new.json"
    file.write_text(json.dumps(FLAG))
    return file


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_example(self, name):
        """
        Every command says what it does, with an example of itself.
        """
        result = run(*name.split(), "--help")

        assert 0 == result.exit_code
        assert f"\n  Example:\n    flagstream {name}" in result.stdout

    def test_names_all(self):
        """
        The help of the program names every command.
        """
        listed = run("--help").stdout

        assert all(f"\n  {name.split()[0]} " in listed for name in COMMANDS)


class TestTopics:
    def test_without_a_broker(self):
        """
        The embedded log keeps its partitions, and says so.
        """
        result = run("topics", "migrate", "--partitions", "8")

        assert 1 == result.exit_code
        assert "broker_url: expected kafka://" in result.stderr


class TestApply:
    async def test_adds_then_rests(self, command, world, file):
        """
        What is defined is on the server after the first run; the second changes nothing.
        """
        first = await command("apply", file)
        second = await command("apply", file)

        assert "1 added, 0 changed, 0 unchanged" == first.stdout.splitlines()[-1]
        assert "0 added, 0 changed, 1 unchanged\n" == second.stdout
        assert 1 == world.catalog.project(PROJECT.id).flag_rows["new"]["version"]

    async def test_changes(self, command, world, file):
        """
        A changed file changes the flag, and the diff says how.
        """
        await command("apply", file)
        file.write_text(json.dumps({**FLAG, "active": False}))

        result = await command("apply", file)

        assert '-  "active": true,\n+  "active": false,\n' in result.stdout
        assert result.stdout.endswith("0 added, 1 changed, 0 unchanged\n")
        assert not world.catalog.project(PROJECT.id).flag_rows["new"]["active"]

    async def test_dry_run(self, command, world, file):
        """
        A dry run shows the diff and changes nothing.
        """
        result = await command("apply", file, "--dry-run")

        assert '+  "key": "new"\n' in result.stdout
        assert result.stdout.endswith("1 to be added, 0 to be changed, 0 unchanged\n")
        assert {} == world.catalog.project(PROJECT.id).flag_rows

    async def test_cohorts(self, command, world, tmp_path):
        """
        Cohorts are there before the flags that name them, and go after these.
        """
        file = tmp_path / "all.json"
        results = []
        for deleted in (False, False, True):
            cohorts = [{**each, "deleted": deleted} for each in (GOLD, EARLY)]
            document = {"flags": [{**IN_GOLD, "deleted": deleted}], "cohorts": cohorts}
            file.write_text(json.dumps(document))
            results.append(await command("apply", file))

        assert [
            "3 added, 0 changed, 0 unchanged",
            "0 added, 0 changed, 3 unchanged",
            "0 added, 3 changed, 0 unchanged",
        ] == [result.stdout.splitlines()[-1] for result in results]
        assert "--- cohort 98 now\n" in results[0].stdout
        rows = world.catalog.project(PROJECT.id).cohort_rows
        assert {98: True, 5: True} == {number: row["deleted"] for number, row in rows.items()}

    async def test_changed_members(self, command, world, tmp_path):
        """
        A static cohort gets the members of the file, whoever was in it before.
        """
        file = tmp_path / "early.json"
        for members in (["b", "a"], ["a", "c"]):
            file.write_text(json.dumps({"cohorts": [{**EARLY, "members": members}]}))
            result = await command("apply", file)

        assert '-    "b",\n' in result.stdout
        assert ["a", "c"] == world.catalog.project(PROJECT.id).cohort_rows[5]["members"]

    async def test_refused(self, command, tmp_path):
        """
        What the server refuses is a line with the JSON path that it names.
        """
        file = tmp_path / "in-gold.json"
        file.write_text(json.dumps(IN_GOLD))

        result = await command("apply", file)

        path = "$.filters.groups[0].properties[0].value"
        assert 1 == result.exit_code
        assert result.stderr.endswith(
            f" answered 400: {path}: expected the id of a cohort, got 98\n"
        )

    async def test_all_or_nothing(self, command, world, file, tmp_path):
        """
        While any definition is malformed none is applied.
        """
        wrong = tmp_path / "wrong.json"
        wrong.write_text('{"key": "wrong", "active": "yes"}')

        result = await command("apply", file, wrong)

        assert 1 == result.exit_code
        assert result.stderr.startswith(f"Error: {wrong}: $.active: expected ")
        assert result.stderr.endswith(", got 'yes'\n")
        assert {} == world.catalog.project(PROJECT.id).flag_rows

    async def test_wrong_key(self, command, file):
        """
        A refusal is a line with the server's own words.
        """
        result = await command("apply", file, FLAGSTREAM_SECRET_KEY="phs_other")

        assert 1 == result.exit_code
        assert result.stderr.endswith(" answered 401: The secret key is unknown.\n")

    def test_no_server(self, file, unused_tcp_port):
        """
        A server that is not there is a line with its address.
        """
        url = f"http://127.0.0.1:{unused_tcp_port}"

        result = run("apply", file, "--url", url, "--key", "phs_x")

        assert 1 == result.exit_code
        assert result.stderr.startswith(f"Error: {url} does not answer as flagstream does: ")
        assert 1 == result.stderr.count("\n")


POSTHOG = {
    "flags": [
        {
            "id": 17,
            "key": "new",
            "filters": {"aggregation_group_type_index": 0, "groups": [{"rollout_percentage": 50}]},
        },
        {"id": 18, "key": "odd", "has_encrypted_payloads": True},
    ],
    "group_type_mapping": {"0": "team", "1": "company"},
    "cohorts": {},
}


class TestFromPosthog:
    @pytest.fixture
    def posthog(self, tmp_path):
        file = tmp_path / "definitions.json"
        file.write_text(json.dumps(POSTHOG))
        return file

    async def apply(self, command, file, *options):
        return await command("apply", "--from", "posthog", file, *options)

    async def test_refused(self, command, world, posthog):
        """
        While anything cannot be taken over nothing is, and every such thing is a line.
        """
        result = await self.apply(command, posthog)

        assert 1 == result.exit_code
        assert result.stderr == (
            f"Error: {posthog}: $.flags[1].has_encrypted_payloads: flag odd: True: expected null "
            "or false, this is not supported; change it in PostHog, or leave it out with "
            "--skip-unsupported\n"
        )
        assert {} == world.catalog.project(PROJECT.id).flag_rows

    async def test_skipped(self, command, world, posthog):
        """
        The rest is taken over if that is asked for: with sha1, and with group types by name.
        """
        results = [await self.apply(command, posthog, "--skip-unsupported") for _ in range(2)]

        assert results[0].stderr.startswith(f"skipped: {posthog}: $.flags[1].has_encrypted")
        assert results[0].stdout.startswith("+ group type team, index 2\n--- new now\n")
        assert ["1 added, 0 changed, 0 unchanged", "0 added, 0 changed, 1 unchanged"] == [
            each.stdout.splitlines()[-1] for each in results
        ]
        snapshot = world.catalog.project(PROJECT.id)
        row = snapshot.flag_rows["new"]
        assert ("sha1", 2) == (row["bucketing"], row["filters"]["aggregation_group_type_index"])
        assert 2 == snapshot.group_types.index_of("team")

    async def test_dry_run(self, command, world, posthog):
        """
        A dry run adds no group type either.
        """
        result = await self.apply(command, posthog, "--skip-unsupported", "--dry-run")

        assert result.stdout.endswith("1 to be added, 0 to be changed, 0 unchanged\n")
        snapshot = world.catalog.project(PROJECT.id)
        assert (None, {}) == (snapshot.group_types.index_of("team"), snapshot.flag_rows)

    async def test_notes(self, command, tmp_path):
        """
        What is worth knowing of a flag that is taken over is a line.
        """
        file = tmp_path / "flags.json"
        file.write_text(json.dumps([{**FLAG, "ensure_experience_continuity": True}]))

        result = await self.apply(command, file)

        assert result.stderr.startswith(f"note: {file}: $[0]: flag new: persons whom PostHog")

    async def test_no_json(self, command, tmp_path):
        """
        A file that is no JSON is named.
        """
        file = tmp_path / "flags.json"
        file.write_text("{")

        result = await self.apply(command, file)

        assert result.stderr.startswith(f"Error: {file}: not JSON: ")


class TestFlagd:
    FLAGS = {  # noqa: RUF012 -- nobody changes it
        "new": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {
                "if": [
                    {"==": [{"var": "plan"}, "gold"]},
                    {"fractional": [["on", 30000], ["off", 70000]]},
                ]
            },
        }
    }

    async def test_round_trip(self, command, world, tmp_path):
        """
        flagd's flags come to an empty server as flags of a group type, and go back as they were.
        """
        file = tmp_path / "flagd.json"
        file.write_text(json.dumps({"flags": self.FLAGS}))
        world.catalog.clear()
        options = ("--group-type", "organization")

        applied = await command("apply", "--from", "flagd", file, *options)
        again = await command("apply", "--from", "flagd", file, *options)
        exported = await command("export", "--to", "flagd", *options)

        assert "shares are kept, who is in them is not" in applied.stderr
        assert applied.stdout.startswith("+ group type organization, index 0\n")
        assert "0 added, 0 changed, 1 unchanged\n" == again.stdout
        assert self.FLAGS == json.loads(exported.stdout)["flags"]
        row = world.catalog.project(PROJECT.id).flag_rows["new"]
        assert 0 == row["filters"]["aggregation_group_type_index"]


class TestGoff:
    YAML = """
new:
  variations: {on: true, off: false}
  targeting:
    - query: plan eq "gold"
      variation: on
  defaultRule:
    variation: off
"""
    TOML = """
[new]
variations = {on = true, off = false}
defaultRule = {variation = "off"}
[[new.targeting]]
query = 'plan eq "gold"'
variation = "on"
"""

    @pytest.mark.parametrize(("name", "text"), [("f.yaml", YAML), ("f.toml", TOML)])
    async def test_files(self, command, world, tmp_path, name, text):
        """
        Files are YAML, in which on and off are names, or TOML.
        """
        file = tmp_path / name
        file.write_text(text)

        applied = await command("apply", "--from", "goff", file)

        assert applied.stdout.endswith("1 added, 0 changed, 0 unchanged\n")
        (condition,) = world.catalog.project(PROJECT.id).flag_rows["new"]["filters"]["groups"]
        assert ["gold"] == condition["properties"][0]["value"]

    @pytest.mark.parametrize(("name", "kind"), [("f.yml", "YAML"), ("f.toml", "TOML")])
    async def test_malformed(self, command, tmp_path, name, kind):
        """
        A file that is neither is named, with what was expected of it.
        """
        file = tmp_path / name
        file.write_text("a: [")

        result = await command("apply", "--from", "goff", file)

        assert result.stderr.startswith(f"Error: {file}: not {kind}: ")
        assert 1 == result.stderr.count("\n")


class TestToPosthog:
    async def test_round_trip(self, command, world, tmp_path):
        """
        What is exported and applied to an empty server is exported from there as the same.
        """
        first, again = tmp_path / "first.json", tmp_path / "again.json"
        defined = tmp_path / "defined.json"
        flags = [{**FLAG, "bucketing": "sha1"}, {**IN_GOLD, "bucketing": "sha1"}]
        rules = {"type": "AND", "values": [{"key": "plan", "type": "person", "value": "gold"}]}
        gold = {"id": 98, "name": "Cohort 98", "filters": {"properties": rules}}
        defined.write_text(json.dumps({"flags": flags, "cohorts": [gold]}))
        await command("apply", defined)

        first.write_text((await command("export", "--to", "posthog")).stdout)
        world.catalog.clear()
        applied = await command("apply", "--from", "posthog", first)
        again.write_text((await command("export", "--to", "posthog")).stdout)

        assert "3 added, 0 changed, 0 unchanged" == applied.stdout.splitlines()[-1]
        assert {"0": "company", "1": "project"} == json.loads(again.read_text())[
            "group_type_mapping"
        ]
        assert first.read_text() == again.read_text()

    async def test_refused(self, command, file):
        """
        A flag whose members PostHog would choose otherwise is refused, and can be left out.
        """
        await command("apply", file)

        refused = await command("export", "--to", "posthog")
        skipped = await command("export", "--to", "posthog", "--skip-unsupported")

        assert 1 == refused.exit_code
        assert "the project: $.flags[0].bucketing: flag new: murmur3: PostHog" in refused.stderr
        assert [] == json.loads(skipped.stdout)["flags"]


class TestExport:
    async def test_round_trip(self, command, world, tmp_path):
        """
        What is exported can be applied to another server, and is the same there.
        """
        exported = tmp_path / "exported.json"
        for key in ("b", "a"):
            world.catalog.set_flag(
                new_row({**FLAG, "key": key}, flag_id=1, bucketing="sha1", now_ms=0)
            )

        exported.write_text((await command("export")).stdout)
        result = await command("apply", exported)

        assert ["a", "b"] == [flag["key"] for flag in json.loads(exported.read_text())["flags"]]
        assert "0 added, 0 changed, 2 unchanged\n" == result.stdout

    async def test_other_project(self, command, tmp_path):
        """
        Cohorts keep their ids and members elsewhere, and flags are named by their keys.
        """
        elsewhere = {"FLAGSTREAM_SECRET_KEY": OTHER_PROJECT.secret_key}
        defined, exported = tmp_path / "defined.json", tmp_path / "exported.json"
        cohorts = [GOLD, {**EARLY, "filters": {}, "description": ""}]
        defined.write_text(json.dumps({"flags": [FLAG, IN_GOLD], "cohorts": cohorts}))
        await command("apply", defined)

        exported.write_text((await command("export")).stdout)
        first = await command("apply", exported, **elsewhere)
        second = await command("apply", exported, **elsewhere)

        assert "4 added, 0 changed, 0 unchanged" == first.stdout.splitlines()[-1]
        assert "0 added, 0 changed, 4 unchanged\n" == second.stdout
        early, gold = json.loads(exported.read_text())["cohorts"]
        assert cohorts[1] == early
        assert "new" == gold["filters"]["properties"]["values"][2]["key"]
        assert "deleted" not in gold

    async def test_members_are_not_told(self, command, tmp_path):
        """
        A key that is not told the members of a cohort exports nothing, instead of a part of it.
        """
        file = tmp_path / "cohorts.json"
        file.write_text(json.dumps({"flags": [], "cohorts": [EARLY]}))
        await command("apply", file)
        made = await command("keys", "create", "--label", "sdk", "--scope", "flags:read")

        result = await command("export", "--key", made.stdout.strip())

        assert (1, "") == (result.exit_code, result.stdout)
        assert "tells the members of cohort 5 to keys with the scope flags:write" in result.stderr


class TestKeys:
    async def create(self, command, *arguments):
        """Make a key, and read what is printed."""
        result = await command(
            "keys", "create", "--label", "sdk", "--scope", "flags:read", *arguments
        )
        assert 0 == result.exit_code, result.stderr
        return result.stdout.strip()

    async def test_create(self, command):
        """
        A key is printed once, and then lets in.
        """
        secret = await self.create(command)
        listed = await command("keys", "list")

        (line,) = listed.stdout.splitlines()
        assert ["active", "sdk", "flags:read", "-", "-"] == line.split("\t")[1:]
        assert secret not in listed.stdout
        assert 0 == (await command("export", "--key", secret)).exit_code
        assert (
            "lacks the scope project:admin"
            in (await command("keys", "list", "--key", secret)).stderr
        )

    async def test_rotate_and_revoke(self, command):
        """
        A key that is replaced ends, and one that is revoked is listed as that.
        """
        old = await self.create(command, "--expires-at", "2030-01-01T00:00:00Z")
        (line,) = (await command("keys", "list")).stdout.splitlines()
        key_id = line.partition("\t")[0]

        new = await command("keys", "rotate", key_id, "--overlap-s", "0")
        revoked = await command("keys", "revoke", key_id)

        assert f"{key_id} is revoked\n" == revoked.stdout
        assert [1, 0] == [
            (await command("export", "--key", secret)).exit_code
            for secret in (old, new.stdout.strip())
        ]
        listed = (await command("keys", "list")).stdout.splitlines()
        assert {"active", "revoked"} == {line.split("\t")[1] for line in listed}

    async def test_refused(self, command):
        """
        What is wrong is said in a line.
        """
        unknown = await command("keys", "revoke", "1-nobody/../x")
        expired = await command(
            "keys", "create", "--label", "a", "--scope", "flags:read", "--expires-at", "2020-01-01"
        )
        no_scope = await command("keys", "create", "--label", "a", "--scope", "all")

        assert "answered 404: " in unknown.stderr
        assert "answered 400: expires_at: expected a time in the future" in expired.stderr
        assert 2 == no_scope.exit_code


class TestProjects:
    async def test_steps(self, command):
        """
        A project is made, listed, asked by its number, given another token, and archived.
        """
        operator = {"FLAGSTREAM_SECRET_KEY": OPERATOR_KEY}
        made = await command("projects", "create", "Staging", **operator)
        number, token = made.stdout.strip().split("\t")
        key = await TestKeys().create(command, "--project", number, "--key", OPERATOR_KEY)
        rotated = await command("projects", "rotate-token", "--project", number, **operator)
        archived = await command("projects", "archive", number, **operator)
        listed = await command("projects", "list", **operator)
        back = await command("projects", "archive", number, "--undo", **operator)

        assert "3" == number
        assert key.startswith("phs_3-")
        assert f"{number} is archived\n" == archived.stdout
        assert ["3", "archived", "Staging", rotated.stdout.strip()] == (
            listed.stdout.splitlines()[-1].split("\t")
        )
        assert token != rotated.stdout.strip()
        assert f"{number} is active\n" == back.stdout

    async def test_many(self, world, command):
        """
        All projects are listed, however many pages they take.
        """
        for number in range(3, 1_003):
            tenant = Tenant(token=f"phc_{number}", created_at_ms=0, created_by="the tests")
            world.access.take(number, Kind.TENANT, str(number), tenant.to_body())

        listed = await command("projects", "list", FLAGSTREAM_SECRET_KEY=OPERATOR_KEY)

        numbers = [line.split("\t")[0] for line in listed.stdout.splitlines()]
        assert list(map(str, range(1, 1_003))) == numbers

    async def test_own(self, command):
        """
        A project's key lists its project, and makes none.
        """
        listed = await command("projects", "list")
        made = await command("projects", "create", "Staging")

        assert "1\tactive\tDefault project\tphc_one\n" == listed.stdout
        assert "This is for the operator's key alone." in made.stderr


class TestCheck:
    def test_good(self, file):
        """
        Good definitions are counted.
        """
        result = run("check", file)

        assert (0, "1 flags in 1 files are well-formed\n") == (result.exit_code, result.stdout)

    def test_cohorts(self, tmp_path):
        """
        Cohorts are counted for themselves.
        """
        file = tmp_path / "all.json"
        file.write_text(json.dumps({"flags": [IN_GOLD], "cohorts": [EARLY, GOLD]}))

        result = run("check", file)

        assert "1 flags and 2 cohorts in 1 files are well-formed\n" == result.stdout

    def test_what_nobody_wants(self, tmp_path):
        """
        What is well-formed and can never be is a problem too, where it stands.
        """
        never = {"key": "seats", "type": "person", "operator": "gt", "value": "many"}
        off = {"key": "off", "active": False}
        named = {"key": "off", "type": "flag", "operator": "flag_evaluates_to", "value": True}
        flag = {
            "key": "a",
            "filters": {
                "groups": [{"properties": [never]}, {"properties": [named]}],
                "aggregation_group_type_index": 1,
            },
        }
        file = tmp_path / "odd.json"
        file.write_text(json.dumps([flag, off]))

        alone, with_types = run("check", file), run("check", file, "--group-type", "organization")

        expected = [
            f"{file}: $[0].filters.groups[0].properties[0]: the condition can never match",
            f"{file}: $[0].filters.groups[1].properties[0]: the flag 'off' is not active",
        ]
        no_type = f"{file}: $[0].filters.aggregation_group_type_index: the project has no group"
        for result, lines in ((alone, expected), (with_types, [*expected, no_type])):
            said = result.stderr.splitlines()
            assert (1, len(lines)) == (result.exit_code, len(said))
            assert all(line in each for line, each in zip(lines, said, strict=True))

    def test_bad(self, tmp_path):
        """
        Every problem is a line, and the exit code says that there is one.
        """
        file = tmp_path / "bad.json"
        file.write_text('[{"key": "a", "active": 1, "name": 2}]')

        result = run("check", file)

        assert 1 == result.exit_code
        assert 2 == result.stderr.count("\n")
        assert f"{file}: $[0].active: expected " in result.stderr


class TestDeadLetters:
    @pytest.fixture
    def letter(self, world):
        letter = DeadLetter(
            id="0-17", time_ms=0, topic="flagstream.group-updates", reason="why not", value=b"{}"
        )
        world.dead_letters.letters.append(letter)
        return letter

    async def test_list(self, command, letter):
        """
        A dead letter is a line with its id, where it comes from and why.
        """
        result = await command("dead-letters", "list")

        assert f"{letter.id}\t{letter.topic}\t{letter.reason}\n" == result.stdout

    async def test_replay(self, command, world, letter):
        """
        The letters that are named are folded once more.
        """
        result = await command("dead-letters", "replay", letter.id)

        assert "1 replayed\n" == result.stdout


class TestSettings:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--port", "70000"], "port: Input should be less than or equal to 65535, got 70000"),
            (["--broker", "amqp://x"], "broker_url: "),
            (["--config", "nowhere.toml"], "nowhere.toml: No such file or directory"),
        ],
    )
    def test_wrong(self, arguments, said):
        """
        A wrong setting stops the start with a line that names it.
        """
        result = run("serve", *arguments)

        assert 1 == result.exit_code
        assert f"Error: {said}" in result.stderr
        assert 1 == result.stderr.count("\n")

    def test_malformed_file(self, tmp_path):
        """
        A file that is no TOML is named with line and column.
        """
        file = tmp_path / "flagstream.toml"
        file.write_text("port = \n")

        result = run("serve", "--config", file)

        assert 1 == result.exit_code
        assert f"Error: {file}: Invalid value (at line 1, column 8)\n" == result.stderr

    def test_wrong_usage(self):
        """
        What click refuses has exit code 2.
        """
        assert 2 == run("serve", "--nonsense").exit_code

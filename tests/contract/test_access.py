"""Who may ask what: every route, with every kind of key, on a running server of two projects."""

import json

import pytest
from aiohttp import hdrs

from flagstream.openapi import Access, needs_key, operation_of
from flagstream.routes.table import SECTIONS
from flagstream.state.access import Scope, allowed
from tests.contract.two_projects import MARKS, SESSION, UUID, TwoProjects, address
from tests.server import SECRET_KEY, Server

ROUTES = sorted(
    {
        (route.method, route.path): route.handler
        for section in SECTIONS
        for route in section.routes
        if route.method != hdrs.METH_OPTIONS and (route.path == "/" or route.path[-1] != "/")
    }.items()
)
GUARDED = [
    (method, path, operation_of(handler).access)
    for (method, path), handler in ROUTES
    if needs_key(operation_of(handler).access)
]
OPEN = [
    (method, path)
    for (method, path), handler in ROUTES
    if not needs_key(operation_of(handler).access)
]
# What a request carries when nothing is to come of it.
BODY = {"POST": {}, "PUT": {}, "PATCH": {}}
# What else a key has to allow, for what is told of groups on the way.
BESIDES = {"flags/explain": Scope.GROUPS_READ}
# Where something of a project's own is in the answer, else these tests would prove nothing.
TELLING = [
    "",
    "activity",
    "cohorts",
    "cohorts/1",
    "cohorts/1/activity",
    "cohorts/1/persons",
    "events",
    "feature_flags",
    "feature_flags/1",
    "feature_flags/1/activity",
    "feature_flags/limits/remote_config",
    "groups/activity?group_type_index=0&group_key=acme",
    "groups/find?group_type_index=0&group_key=acme",
    "groups/property_values?group_type_index=0&key=plan",
    "groups?group_type_index=0",
    "ingestion_warnings",
    "persons",
    "persons/user-1",
]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("access") / "data")
    try:
        server.start()
        yield TwoProjects(server)
    finally:
        server.kill()


def refused(answer, status, code):
    """Hold a refusal against what is expected of it."""
    assert (status, code) == (answer.status_code, answer.json()["code"]), answer.text
    assert all(mark not in answer.text for mark in MARKS.values())


def besides(path, access):
    """Tell what a key has to allow besides; *access* where nothing."""
    return BESIDES.get(path.partition("{project}/")[2], access)


guarded = pytest.mark.parametrize(("method", "path", "access"), GUARDED)


class TestMatrix:
    @guarded
    @pytest.mark.parametrize(
        "kind", ["none", "unknown", "guessed", "revoked", "expired", "token", "other token"]
    )
    def test_no_key(self, two, method, path, access, kind):
        """
        Without a key that is good nothing is told or changed, whatever is presented instead.
        """
        key = {
            "none": lambda: "",
            "unknown": lambda: "phs_1-0123456789abcdef_unknown",
            "guessed": lambda: two.guessed,
            "revoked": lambda: two.revoked,
            "expired": lambda: two.expired,
            "token": lambda: two.tokens[1],
            "other token": lambda: two.tokens[2],
        }[kind]()

        answer = two.ask(method, address(path, "1"), key, BODY.get(method))

        refused(answer, 401, "authentication_failed" if key else "not_authenticated")

    @guarded
    @pytest.mark.parametrize("scope", Scope)
    def test_scope(self, two, method, path, access, scope):
        """
        A key of one scope is let in where that, or what it implies, is asked for; where not, it is
        told what it lacks.
        """
        answer = two.ask(method, address(path, "1"), two.keys[1][scope], BODY.get(method))

        if access is Access.SECRET_KEY or {access, besides(path, access)} <= allowed([scope]):
            assert answer.status_code in {200, 201, 400, 404, 409}, answer.text
            assert MARKS[2] not in answer.text
            return
        refused(answer, 403, "permission_denied")
        lacking = besides(path, access) if access in allowed([scope]) else access
        lacking = "operator" if access is Access.OPERATOR else lacking
        assert lacking in answer.json()["detail"]

    @guarded
    def test_operator(self, two, method, path, access):
        """
        The operator is let in everywhere.
        """
        answer = two.ask(method, address(path, "1"), SECRET_KEY, BODY.get(method))

        assert answer.status_code in {200, 201, 400, 404, 409}, answer.text

    @guarded
    @pytest.mark.parametrize("scope", Scope)
    def test_other_project(self, two, method, path, access, scope):
        """
        Another project's key finds nothing at this project's address, and its own at no other.
        """
        key = two.keys[2][scope]

        named = two.ask(method, address(path, "1"), key, BODY.get(method))
        current = two.ask(method, address(path, "@current"), key, BODY.get(method))

        if "{project}" in path:
            refused(named, 404, "not_found")
        assert MARKS[1] not in named.text + current.text
        is_open = access is Access.SECRET_KEY or {access, besides(path, access)} <= allowed([scope])
        assert (current.status_code == 403) is not is_open

    @pytest.mark.parametrize(
        ("path", "access"), [(path, access) for method, path, access in GUARDED if method == "GET"]
    )
    def test_head(self, two, path, access):
        """
        HEAD is let in where GET is, and tells nothing.
        """
        lacking = [
            scope for scope in Scope if isinstance(access, Scope) and access not in allowed([scope])
        ]
        keys = ["", *(two.keys[1][scope] for scope in lacking), SECRET_KEY]

        heads = [two.ask("HEAD", address(path, "1"), key) for key in keys]
        gets = [two.ask("GET", address(path, "1"), key) for key in keys]

        assert [each.status_code for each in gets] == [each.status_code for each in heads]
        assert [401, *(403 for _ in lacking)] == [each.status_code for each in heads[:-1]]
        assert {b""} == {each.content for each in heads}

    @pytest.mark.parametrize(("method", "path"), [*OPEN, *((m, p) for m, p, _ in GUARDED)])
    def test_preflight(self, two, method, path):
        """
        A preflight is answered to anybody, where there is one, and tells nothing.
        """
        answer = two.ask("OPTIONS", address(path, "1"))

        assert answer.status_code in {204, 405}
        assert all(mark not in answer.text for mark in MARKS.values())

    @pytest.mark.parametrize(("method", "path"), OPEN)
    def test_open(self, two, method, path):
        """
        Where no key is asked for, nobody is told anything of a project, whatever they present.
        """
        for key in ("", two.tokens[1], two.keys[1][Scope.PROJECT_ADMIN], SECRET_KEY):
            answer = two.ask(method, address(path, "1"), key, BODY.get(method))

            assert answer.status_code < 500, answer.text
            assert all(mark not in answer.text for mark in MARKS.values())

    def test_every_route_says(self):
        """
        There are routes of every scope, and none without a word on who may ask.
        """
        assert {*Scope, Access.SECRET_KEY, Access.OPERATOR} == {access for _, _, access in GUARDED}
        assert len(ROUTES) == len(GUARDED) + len(OPEN)


class TestIsolation:
    @pytest.mark.parametrize("path", TELLING)
    @pytest.mark.parametrize("project", MARKS)
    def test_own(self, two, project, path):
        """
        A project's key is told what its project holds, and nothing of what is called the same in
        another.
        """
        key = two.keys[project][Scope.PROJECT_ADMIN]

        answer = two.ask("GET", f"/api/projects/@current/{path}", key)

        assert 200 == answer.status_code, answer.text
        assert MARKS[project] in answer.text
        assert MARKS[3 - project] not in answer.text

    @pytest.mark.parametrize("project", MARKS)
    def test_local_evaluation(self, two, project):
        """
        SDKs are told the definitions of their project alone, by their key or by the operator's.
        """
        query = f"/flags/definitions?token={two.tokens[project]}"
        for key in (two.keys[project][Scope.FLAGS_READ], SECRET_KEY):
            answer = two.ask("GET", query, key)

            assert 200 == answer.status_code, answer.text
            assert MARKS[project] in answer.text
            assert MARKS[3 - project] not in answer.text
        refused(
            two.ask("GET", query, two.keys[3 - project][Scope.FLAGS_READ]), 403, "permission_denied"
        )

    @pytest.mark.parametrize("project", MARKS)
    def test_evaluation(self, two, project):
        """
        A flag looks at the group, the session and the person of its own project.
        """
        of_type = {1: "organization", 2: "project"}[project]
        named = two.evaluated(project, groups={of_type: "acme"})
        remembered = two.evaluated(project, **{"$session_id": SESSION})

        for flags in (named, remembered):
            assert flags["beta"]["enabled"]
            assert MARKS[project] in json.dumps(flags)
            assert MARKS[3 - project] not in json.dumps(flags)

    def test_merged(self, two):
        """
        Two ids that are one person in one project are two in the other.
        """
        found = [
            two.operate("GET", f"/api/projects/{project}/persons/anon-1").json()["distinct_ids"]
            for project in MARKS
        ]

        assert [{"user-1", "anon-1"}, {"anon-1"}] == list(map(set, found))

    def test_seen_events(self, two):
        """
        An event's uuid that one project has had is new to the other, and known to each by itself.
        """
        for project, mark in MARKS.items():
            again = {"event": mark, "uuid": UUID, "distinct_id": "user-1"}
            two.capture(project, again)
            path = f"/api/projects/{project}/events?event={mark}"

            assert [UUID] == [each["uuid"] for each in two.operate("GET", path).json()["results"]]

    def test_what_is_changed(self, two):
        """
        Whatever is done in one project, with the same ids and names, changes nothing in the other.
        """
        before, key = two.contents(1), two.keys[2][Scope.PROJECT_ADMIN]
        root = "/api/projects/@current"
        changes = [
            ("PATCH", "/", {"name": "changed", "timezone": "Europe/Berlin"}),
            ("PATCH", "/feature_flags/1/", {"active": False}),
            ("PATCH", "/feature_flags/2/", {"deleted": True}),
            ("POST", "/cohorts/1/add_members/", {"members": ["member-x"]}),
            ("PATCH", "/cohorts/1/", {"name": "changed"}),
            (
                "PATCH",
                "/groups_types/update_metadata/",
                [{"group_type_index": 0, "name_singular": "x"}],
            ),
            (
                "POST",
                "/groups/update_property/?group_type_index=0&group_key=acme",
                {"key": "plan", "value": "x"},
            ),
            (
                "POST",
                "/groups/delete_property/?group_type_index=1&group_key=acme",
                {"$unset": "plan"},
            ),
        ]

        for method, path, body in changes:
            answer = two.ask(method, root + path, key, body)
            assert answer.status_code < 300, answer.text
        two.capture(2, {"event": "$set", "distinct_id": "user-1", "$set": {"owner": "x"}})
        two.capture(
            2,
            {
                "event": "$merge_dangerously",
                "distinct_id": "user-1",
                "properties": {"alias": "anon-1"},
            },
        )

        assert before == two.contents(1)

    def test_dead_letters(self, two):
        """
        The ids of dead letters are no way into another project's.
        """
        key = two.keys[2][Scope.PROJECT_ADMIN]
        body = {"ids": [f"{partition}-{offset}" for partition in range(4) for offset in range(9)]}

        answer = two.ask("POST", "/api/projects/@current/dead_letters/replay/", key, body)

        assert {"replayed": 0} == answer.json()

    def test_keys(self, two):
        """
        Keys of another project are neither listed nor ended.
        """
        key = two.keys[2][Scope.PROJECT_ADMIN]
        (first, *_) = two.operate("GET", "/api/projects/1/keys/").json()["results"]
        listed = two.ask("GET", "/api/projects/@current/keys/", key).json()["results"]

        refused(
            two.ask("DELETE", f"/api/projects/@current/keys/{first['id']}/", key), 404, "not_found"
        )

        assert {"2"} == {each["id"].partition("-")[0] for each in listed}
        assert (
            200 == two.ask("GET", "/api/projects/1/", two.keys[1][Scope.PROJECT_ADMIN]).status_code
        )

"""Projects and keys, as definitions tell of them."""

import pytest

from flagstream.state.access import Key, KeyUse, OldToken, Replaced, Revocation, Scope, Tenant
from flagstream.state.definitions import DefinitionState, Kind
from flagstream.topics import Table, record_key
from flagstream.views.access import KnownAccess, StoredAccess
from flagstream.views.layout import table_key

KEY = Key(label="a", scopes=["flags:write"], hash="h", end="1234", created_at_ms=5, created_by="b")
TENANT = Tenant(token="phc_two", created_at_ms=5, created_by="b")


class Known(KnownAccess):
    """With a clock, and records in fewer words."""

    def __init__(self):
        self.now_ms = 100
        super().__init__("phc_one", clock_ms=lambda: self.now_ms)

    def tell(self, kind, name, record):
        self.take(int(name.partition("-")[0]), kind, name, record.to_body())


@pytest.fixture
def known():
    return Known()


def entry(kind, name, record):
    """A definition as it is stored."""
    place = record_key(int(name.partition("-")[0]), kind, name)
    state = DefinitionState(version=1, updated_at_ms=1, body=record.to_body())
    return table_key(Table.DEFINITIONS, place), state.to_bytes()


class TestProjects:
    def test_first(self, known):
        """
        The first project is there without any definition, and none changes its token.
        """
        known.tell(Kind.TENANT, "1", TENANT)

        assert 1 == known.by_token("phc_one").id
        assert known.by_token("phc_two") is None
        assert [1] == [project.id for project in known.all()]

    def test_no_first_token(self):
        """
        Where nothing is asked by tokens, an empty one opens nothing.
        """
        assert KnownAccess("").by_token("") is None

    def test_made(self, known):
        """
        A project is found by its token and its number.
        """
        known.tell(Kind.TENANT, "2", TENANT)

        assert 2 == known.by_token("phc_two").id
        assert known.by_id(2) == known.by_token("phc_two")
        assert known.by_id(3) is None
        assert [1, 2] == [project.id for project in known.all()]

    def test_old_token(self, known):
        """
        A token that was replaced is taken until its time has come.
        """
        known.tell(Kind.TENANT, "2", TENANT)
        old = OldToken(token="phc_two", ends_at_ms=200)
        after = Tenant(token="phc_new", created_at_ms=5, created_by="b", old_tokens=[old])

        known.tell(Kind.TENANT, "2", after)

        assert {2} == {known.by_token(token).id for token in ("phc_two", "phc_new")}
        known.now_ms = 200
        assert known.by_token("phc_two") is None
        assert 2 == known.by_token("phc_new").id

    def test_archived(self, known):
        """
        The tokens of an archived project open nothing, until it is taken out of the archive.
        """
        old = [OldToken(token="phc_old", ends_at_ms=200)]
        members = {"token": "phc_two", "created_at_ms": 5, "created_by": "b", "old_tokens": old}

        known.tell(Kind.TENANT, "2", Tenant(**members))
        known.tell(Kind.TENANT, "2", Tenant(**members, is_archived=True))

        assert [None] * 2 == [known.by_token(token) for token in ("phc_two", "phc_old")]
        assert known.by_id(2).is_archived
        known.tell(Kind.TENANT, "2", Tenant(**members))
        assert [2] * 2 == [known.by_token(token).id for token in ("phc_two", "phc_old")]

    def test_a_token_of_two(self, known):
        """
        A token that another project has stays that one's, whatever a producer writes.
        """
        known.tell(Kind.TENANT, "2", Tenant(token="phc_one", created_at_ms=5, created_by="b"))

        assert 1 == known.by_token("phc_one").id


class TestKeys:
    def test_found(self, known):
        """
        A key is found by its id, with what its scopes allow.
        """
        known.tell(Kind.KEY, "1-a", KEY)

        assert {Scope.FLAGS_READ, Scope.FLAGS_WRITE} == known.key("1-a").allows
        assert (1, None, None) == (
            known.key("1-a").project_id,
            known.key("1-a").revoked_at_ms,
            known.key("1-a").ends_at_ms,
        )
        assert "h" not in repr(known.key("1-a")).replace("hash", "")

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
    def test_any_order(self, known, order):
        """
        A key, its revocation and its use are joined in whatever order they come.
        """
        told = [
            (Kind.KEY, KEY),
            (Kind.KEY_REVOCATION, Revocation(revoked_at_ms=7, revoked_by="b")),
            (Kind.KEY_USE, KeyUse(used_at_ms=6)),
        ]

        for number in order:
            known.tell(told[number][0], "1-a", told[number][1])

        assert (7, 6) == (known.key("1-a").revoked_at_ms, known.key("1-a").used_at_ms)

    def test_replaced(self, known):
        """
        A key ends with the earliest of its own end and those that its successors give it.
        """
        ends = []
        known.tell(Kind.KEY, "1-a", Key(**{**KEY.to_body(), "expires_at_ms": 300}))
        for number, ends_at_ms in enumerate((400, 200, 250)):
            after = Replaced(id="1-a", ends_at_ms=ends_at_ms)
            known.tell(Kind.KEY, f"1-{number}", Key(**KEY.to_body(), replaces=after))
            ends.append(known.key("1-a").ends_at_ms)

        assert [300, 200, 200] == ends
        assert [False, True] == [known.key("1-a").has_expired(now_ms) for now_ms in (199, 200)]

    def test_of_a_project(self, known):
        """
        A project's keys are listed with the newest first, and no other project's.
        """
        known.tell(Kind.KEY, "1-a", KEY)
        known.tell(Kind.KEY, "1-b", Key(**{**KEY.to_body(), "created_at_ms": 9}))
        known.tell(Kind.KEY, "2-c", KEY)

        assert ["1-b", "1-a"] == [key.id for key in known.keys(1)]
        assert ["2-c"] == [key.id for key in known.keys(2)]

    @pytest.mark.parametrize("kind", [Kind.KEY, Kind.KEY_REVOCATION])
    def test_of_another_project(self, known, kind):
        """
        What one project's records say of another's key counts for nothing.
        """
        known.tell(Kind.KEY, "1-a", KEY)
        record = KEY if kind is Kind.KEY else Revocation(revoked_at_ms=7, revoked_by="b")

        known.take(2, kind, "1-a", record.to_body())

        assert (1, None) == (known.key("1-a").project_id, known.key("1-a").revoked_at_ms)

    def test_odd(self, known):
        """
        What cannot be read leaves the rest as it is.
        """
        known.tell(Kind.KEY, "1-a", KEY)

        known.take(1, Kind.KEY, "1-b", {"label": 5})
        known.take(1, Kind.KEY_REVOCATION, "1-a", {})
        known.take(1, Kind.FLAG, "1-a", {})

        assert known.key("1-b") is None
        assert known.key("1-a").revoked_at_ms is None


class TestStored:
    def test_loaded_and_changed(self, store):
        """
        What is stored is there once it is loaded, and what is stored later once that is told.
        """
        access = StoredAccess(store, "phc_one")
        store.write(dict([entry(Kind.KEY, "1-a", KEY), entry(Kind.TENANT, "2", TENANT)]), {})
        access.load()
        key, value = entry(Kind.KEY, "2-b", KEY)
        store.write({key: value}, {})
        before = access.key("2-b")

        access.changed([key, b"gsomething else", b"d[3]"])

        assert ("1-a", None, "2-b") == (access.key("1-a").id, before, access.key("2-b").id)
        assert 2 == access.by_token("phc_two").id

    def test_loaded_anew(self, store):
        """
        Once it is loaded anew, nothing is left of what is not stored any more.
        """
        access = StoredAccess(store, "phc_one")
        store.write(dict([entry(Kind.KEY, "1-a", KEY)]), {})
        access.load()

        store.reset()
        access.load()

        assert access.key("1-a") is None
        assert 1 == access.by_token("phc_one").id

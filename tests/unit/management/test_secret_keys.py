"""Keys made, rotated, revoked and used."""

import asyncio

import pytest

from flagstream.errors import (
    ConflictError,
    InvalidFieldError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from flagstream.keys import Hasher
from flagstream.management import DefinitionsWriter, Editor, SecretKeyManagement
from flagstream.state.definitions import Kind
from flagstream.topics import Topic, key_parts
from tests.fakes.access import FakeProjects
from tests.fakes.views import FakeCatalog, FakeDefinitionsLog, FakeView

NOW_MS = 1_764_000_000_000
EDITOR = Editor(1, "somebody")
OTHER = Editor(2, "somebody")
WANTED = {"label": "backend", "scopes": ["groups:write", "flags:read", "flags:read"]}
HOUR_MS = 3_600_000


class Writing:
    """The service over fakes."""

    def __init__(self):
        self.access, self.view = FakeProjects(), FakeView()
        self.access.now_ms = NOW_MS
        self.log = FakeDefinitionsLog(FakeCatalog(), self.view, self.access)
        clock = {"clock_ms": lambda: self.access.now_ms}
        writer = DefinitionsWriter(FakeCatalog(), self.log, self.log, wait_timeout_s=0, **clock)
        self.keys = SecretKeyManagement(writer, self.access, **clock)

    def history(self, key_id):
        return [change.state.body for change in self.view.history(1, Kind.KEY, key_id)]

    def written(self, kind):
        return [each for each in self.log.definitions if key_parts(each.key)[1] == kind]


@pytest.fixture
def writing():
    return Writing()


@pytest.fixture
def keys(writing):
    return writing.keys


class TestCreate:
    async def test_made(self, writing, keys):
        """
        A key is there with what was asked for, and of its secret the hash.
        """
        made = await keys.create(EDITOR, {**WANTED, "expires_at": "2026-01-01T00:00:00Z"})

        key = writing.access.key(made.key.id)
        assert key == made.key
        assert ("backend", ["flags:read", "groups:write"]) == (key.label, key.scopes)
        assert (NOW_MS, "somebody", 1_767_225_600_000) == (
            key.created_at_ms,
            key.created_by,
            key.expires_at_ms,
        )
        assert await Hasher().is_right(key.hash, made.secret)
        assert made.secret.endswith(key.end)

    async def test_the_secret_is_nowhere(self, writing, keys):
        """
        Nothing that is written has the secret, and history does not have the hash either.
        """
        made = await keys.create(EDITOR, WANTED)

        secret = made.secret.rpartition("_")[2].encode()
        assert [] == [each for each in writing.log.appended if secret in each.value]
        told = [
            each.value for each in writing.log.appended if each.topic is Topic.DEFINITION_CHANGES
        ]
        assert 1 == len(told)
        assert b"argon2" not in told[0]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "label"),
            ({**WANTED, "label": ""}, "label"),
            ({**WANTED, "label": 5}, "label"),
            ({**WANTED, "label": "x" * 401}, "label"),
            ({"label": "a"}, "scopes"),
            ({**WANTED, "scopes": []}, "scopes"),
            ({**WANTED, "scopes": "flags:read"}, "scopes"),
            ({**WANTED, "scopes": ["flags:read", "flags"]}, "scopes.1"),
            ({**WANTED, "scopes": [["flags:read"]]}, "scopes.0"),
            ({**WANTED, "expires_at": "tomorrow"}, "expires_at"),
            ({**WANTED, "expires_at": 5}, "expires_at"),
            ({**WANTED, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({**WANTED, "secret": "phs_mine"}, "secret"),
        ],
    )
    async def test_refused(self, writing, keys, body, field):
        """
        What is wrong is named, and nothing is made.
        """
        with pytest.raises(InvalidFieldError) as caught:
            await keys.create(EDITOR, body)

        assert field == caught.value.attr
        assert [] == writing.log.appended

    async def test_too_many(self, keys, monkeypatch):
        """
        Those that have ended leave room for others.
        """
        monkeypatch.setattr("flagstream.management.secret_keys._MAX_KEYS", 1)
        made = await keys.create(EDITOR, WANTED)

        with pytest.raises(InvalidRequestError, match="at most 1 keys"):
            await keys.create(EDITOR, WANTED)
        await keys.create(OTHER, WANTED)
        await keys.revoke(EDITOR, made.key.id)
        await keys.create(EDITOR, WANTED)


class TestRotate:
    async def test_overlap(self, writing, keys):
        """
        The new key is as the old one, which ends after the overlap.
        """
        old = (await keys.create(EDITOR, WANTED)).key

        made = await keys.rotate(EDITOR, old.id, {"overlap_s": 60})

        assert (old.label, old.scopes, None) == (
            made.key.label,
            made.key.scopes,
            made.key.expires_at_ms,
        )
        assert NOW_MS + 60_000 == writing.access.key(old.id).ends_at_ms
        assert await Hasher().is_right(made.key.hash, made.secret)

    async def test_one_record(self, writing, keys):
        """
        Making the new key and ending the old one is one definition: neither is without the other.
        """
        old = (await keys.create(EDITOR, WANTED)).key
        before = len(writing.log.definitions)

        await keys.rotate(EDITOR, old.id, {})

        assert before + 1 == len(writing.log.definitions)
        assert NOW_MS + HOUR_MS == writing.access.key(old.id).ends_at_ms

    async def test_lifetime(self, writing, keys):
        """
        A key that was to live for a day is followed by one that lives for a day.
        """
        body = {**WANTED, "expires_at": "2025-11-25T16:00:00+00:00"}
        old = (await keys.create(EDITOR, body)).key
        writing.access.now_ms += 1_000

        made = await keys.rotate(EDITOR, old.id, {"overlap_s": 0})

        assert old.expires_at_ms + 1_000 == made.key.expires_at_ms

    @pytest.mark.parametrize("overlap_s", [-1, True, "5", None, 2_592_001])
    async def test_refused(self, writing, keys, overlap_s):
        """
        An overlap that is none is named, and nothing happens.
        """
        old = (await keys.create(EDITOR, WANTED)).key

        with pytest.raises(InvalidFieldError, match="overlap_s: expected seconds"):
            await keys.rotate(EDITOR, old.id, {"overlap_s": overlap_s})

        assert writing.access.key(old.id).ends_at_ms is None

    async def test_ended(self, keys):
        """
        A key that has ended has no successor.
        """
        old = (await keys.create(EDITOR, WANTED)).key
        await keys.revoke(EDITOR, old.id)

        with pytest.raises(ConflictError):
            await keys.rotate(EDITOR, old.id, {})

    async def test_other_project(self, keys):
        """
        A key of another project is not there.
        """
        key_id = (await keys.create(OTHER, WANTED)).key.id

        for ask in (keys.rotate(EDITOR, key_id, {}), keys.revoke(EDITOR, key_id)):
            with pytest.raises(NotFoundError):
                await ask


class TestRevoke:
    async def test_for_good(self, writing, keys):
        """
        A revoked key stays revoked, with the time of the first revocation.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id

        revoked = await keys.revoke(EDITOR, key_id)
        writing.access.now_ms += 1
        again = await keys.revoke(EDITOR, key_id)

        assert NOW_MS == revoked.revoked_at_ms == again.revoked_at_ms
        assert 1 == len(writing.written(Kind.KEY_REVOCATION))

    async def test_not_seen(self, writing, keys):
        """
        A revocation that does not hold yet is not acknowledged.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        writing.log.is_lagging = True

        with pytest.raises(UnavailableError):
            await keys.revoke(EDITOR, key_id)

    async def test_rotated_meanwhile(self, writing, keys):
        """
        A rotation that another node writes behind a revocation does not take it back.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        rotating = asyncio.create_task(keys.rotate(EDITOR, key_id, {}))
        await asyncio.sleep(0)

        await keys.revoke(EDITOR, key_id)
        await rotating

        assert NOW_MS == writing.access.key(key_id).revoked_at_ms

    async def test_history(self, writing, keys):
        """
        A key's history says what became of it, and nothing that opens anything.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        await keys.rotate(EDITOR, key_id, {"overlap_s": 60})
        await keys.revoke(EDITOR, key_id)

        told = {"label": "backend", "scopes": ["flags:read", "groups:write"]}
        ends_at = "2025-11-24T16:01:00Z"
        assert [
            {**told, "expires_at": None},
            {**told, "expires_at": ends_at},
            {**told, "expires_at": ends_at, "deleted": True},
        ] == writing.history(key_id)


class TestUse:
    async def test_once_an_hour(self, writing, keys):
        """
        However often a key is used, the log hears of it once an hour.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        for _ in range(3):
            for _ in range(10):
                keys.note_use(writing.access.key(key_id))
                await asyncio.sleep(0)
            writing.access.now_ms += HOUR_MS

        assert 3 == len(writing.written(Kind.KEY_USE))
        assert NOW_MS + 2 * HOUR_MS == writing.access.key(key_id).used_at_ms

    async def test_noted_by_others(self, writing, keys):
        """
        What another node has noted within the hour is not noted again.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        writing.access.take(1, Kind.KEY_USE, key_id, {"used_at_ms": NOW_MS - HOUR_MS + 1})

        keys.note_use(writing.access.key(key_id))
        await asyncio.sleep(0)

        assert [] == writing.written(Kind.KEY_USE)

    async def test_log_is_down(self, writing, keys, caplog):
        """
        A use that cannot be kept is said in the log, and holds nobody up.
        """
        key_id = (await keys.create(EDITOR, WANTED)).key.id
        writing.log.is_down = True

        keys.note_use(writing.access.key(key_id))
        await asyncio.sleep(0)

        assert ["the use of a key is not kept"] == [each.message for each in caplog.records]

"""Secret keys that are presented: known again, refused, and guessed."""

import asyncio
import time

import pytest

from flagstream.errors import OverloadedError, UnauthenticatedError, UnavailableError
from flagstream.keys import Hasher, KeyRing, legacy_id, new_secret
from flagstream.state.access import Key, Revocation, Scope
from flagstream.state.definitions import Kind
from flagstream.topics import Topic, record_key
from tests.fakes.access import FakeProjects
from tests.fakes.sink import FoldedLog


class CountingHasher(Hasher):
    """Counts how often a slow hash was computed."""

    def __init__(self):
        super().__init__()
        self.runs = 0

    async def is_right(self, known, secret):
        self.runs += 1
        return await super().is_right(known, secret)


class Ring(KeyRing):
    """A ring of which a test sees everything."""

    def __init__(self, **members):
        self.projects = FakeProjects()
        self.projects.now_ms = 1_000_000
        self.log = FoldedLog()
        super().__init__(
            self.projects,
            self.log,
            operator_keys={"phs_operator": "operator", "set": "…set"},
            clock_ms=lambda: self.projects.now_ms,
            wait_timeout_s=0.2,
        )
        self._hasher = CountingHasher()

    @property
    def runs(self):
        return self._hasher.runs

    async def add(self, project_id=1, **members):
        """Make a key."""
        made = new_secret(project_id)
        await self.put(made.id, made.secret, project_id, **members)
        return made

    async def put(self, key_id, secret, project_id=1, **members):
        key = Key(
            label="tests",
            scopes=["flags:read"],
            hash=await self._hasher.hashed(secret),
            end="",
            created_at_ms=0,
            created_by="",
            **members,
        )
        self.projects.take(project_id, Kind.KEY, key_id, key.to_body())

    def revoke(self, key_id):
        revocation = Revocation(revoked_at_ms=1, revoked_by="")
        self.projects.take(1, Kind.KEY_REVOCATION, key_id, revocation.to_body())


@pytest.fixture
def ring():
    return Ring()


def wrong(made, number=0):
    """A key with the id of another one."""
    return f"phs_{made.id}_{number}"


async def refusal(ring, secret):
    """The error that a key is refused with."""
    with pytest.raises((UnauthenticatedError, OverloadedError)) as caught:
        await ring.caller(secret)
    return caught.value


class TestCaller:
    async def test_right(self, ring):
        """
        Who presents a key is known with its project and what it allows.
        """
        made = await ring.add(project_id=2)

        caller = await ring.caller(made.secret)

        assert (2, {Scope.FLAGS_READ}) == (caller.key.project_id, caller.key.allows)
        assert f"tests ({made.id})" == caller.author

    async def test_operator(self, ring):
        """
        The operator's keys open everything, and cost no slow hash.
        """
        callers = [await ring.caller(key) for key in ("phs_operator", "set")]

        assert [("operator", None), ("…set", None)] == [(each.author, each.key) for each in callers]
        assert 0 == ring.runs

    @pytest.mark.parametrize(
        "secret",
        [
            "",
            "phc_one",
            "phs_",
            "phs_operato",
            "phs_operator1",
            "phs_é",
            "\ud800",
            "set\0",
            "phs_1-0123456789abcdef_secret",
            "phs_3-0123456789abcdef_",
            "x" * 8_000,
        ],
    )
    async def test_unknown(self, ring, secret):
        """
        Nothing else is a key; what has no id that there is costs no slow hash.
        """
        await ring.add()

        assert "The secret key is unknown." == (await refusal(ring, secret)).detail
        assert 0 == ring.runs

    async def test_hashed_once(self, ring):
        """
        However often and at once a key is presented, its slow hash is computed once.
        """
        made = await ring.add()

        await asyncio.gather(*(ring.caller(made.secret) for _ in range(200)))
        await ring.caller(made.secret)

        assert 1 == ring.runs

    async def test_a_remembered_key_costs_little(self, ring):
        """
        A key that is known costs a thousandth of its slow hash, or less.
        """
        made = await ring.add()
        await ring.caller(made.secret)

        began = time.perf_counter()
        for _ in range(1_000):
            await ring.caller(made.secret)

        assert (time.perf_counter() - began) / 1_000 < 0.000_1

    async def test_of_before_there_were_ids(self, ring):
        """
        A key that was taken over is known by itself.
        """
        secret = "phs_4fXk2-Yt_M3dE0aQmZ0fY1kqvF8rJw6H5cR7bN9uLxs"
        await ring.put(legacy_id(secret, 1), secret)

        assert legacy_id(secret, 1) == (await ring.caller(secret)).key.id
        assert 401 == (await refusal(ring, secret + "x")).status


class TestEnds:
    async def test_revoked(self, ring):
        """
        A key that is remembered is refused from its revocation on.
        """
        made = await ring.add()
        await ring.caller(made.secret)

        ring.revoke(made.id)

        assert "The secret key was revoked." == (await refusal(ring, made.secret)).detail

    async def test_revoked_while_it_is_hashed(self, ring):
        """
        A key whose revocation comes while its hash is computed is refused.
        """
        made = await ring.add()
        asked = asyncio.create_task(refusal(ring, made.secret))
        while not ring.runs:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)

        ring.revoke(made.id)

        assert "The secret key was revoked." == (await asked).detail

    async def test_expired(self, ring):
        """
        A key that is remembered is refused once its time has come.
        """
        made = await ring.add(expires_at_ms=ring.projects.now_ms + 1)
        await ring.caller(made.secret)

        ring.projects.now_ms += 1

        assert "The secret key has expired." == (await refusal(ring, made.secret)).detail

    async def test_revoked_elsewhere(self, ring):
        """
        What another process is known to have written of a key is waited for, before it is let in.
        """
        made = await ring.add()
        await ring.caller(made.secret)
        place = (Topic.DEFINITIONS, record_key(1, Kind.KEY_REVOCATION, made.id))
        ring.log.elsewhere.add(place)

        with pytest.raises(UnavailableError):
            await ring.caller(made.secret)
        asked = asyncio.create_task(refusal(ring, made.secret))
        await asyncio.sleep(0.01)
        ring.revoke(made.id)
        ring.log.elsewhere.remove(place)

        assert "The secret key was revoked." == (await asked).detail

    async def test_made_elsewhere(self, ring):
        """
        A key that another process has just made is waited for.
        """
        made = new_secret(1)
        place = (Topic.DEFINITIONS, record_key(1, Kind.KEY, made.id))
        ring.log.elsewhere.add(place)
        asked = asyncio.create_task(ring.caller(made.secret))

        await ring.put(made.id, made.secret)
        ring.log.elsewhere.remove(place)

        assert made.id == (await asked).key.id


class TestGuesses:
    async def test_remembered(self, ring):
        """
        A key that was wrong is refused again without a slow hash.
        """
        made = await ring.add()

        refusals = [(await refusal(ring, wrong(made))).status for _ in range(20)]

        assert [401] * 20 == refusals
        assert 1 == ring.runs

    async def test_bounded(self, ring):
        """
        Of those who guess a few are told that they are wrong each second, the others to come back.
        """
        made = await ring.add()

        found = await asyncio.gather(*(refusal(ring, wrong(made, n)) for n in range(60)))

        refused = [each for each in found if each.status == 429]
        assert 3 == ring.runs
        assert 57 == len(refused)
        assert {1} == {each.retry_after_s for each in refused}
        ring.projects.now_ms += 1_000
        assert 401 == (await refusal(ring, wrong(made, "later"))).status

    async def test_of_all_keys(self, ring):
        """
        The bound holds over all ids together as well.
        """
        keys = [await ring.add() for _ in range(8)]

        guesses = [refusal(ring, wrong(made, number)) for made in keys for number in range(3)]
        found = await asyncio.gather(*guesses)

        assert 10 == sum(each.status == 401 for each in found) == ring.runs

    async def test_others_are_let_in(self, ring):
        """
        Whoever has a key is let in while others guess at another one.
        """
        guessed, made = await ring.add(), await ring.add()
        guesses = [asyncio.create_task(refusal(ring, wrong(guessed, n))) for n in range(20)]

        assert made.id == (await ring.caller(made.secret)).key.id
        await asyncio.gather(*guesses)

    async def test_too_many_at_once(self, ring):
        """
        Those who would have to wait for long are told to come back.
        """
        made = await ring.add()

        found = await asyncio.gather(*(refusal(ring, wrong(made, n)) for n in range(500)))

        assert 3 == ring.runs
        assert {401, 429} == {each.status for each in found}

    async def test_memory(self, ring, monkeypatch):
        """
        Of keys that were wrong, so many are remembered and no more.
        """
        monkeypatch.setattr("flagstream.keys.ring._MAX_WRONG", 2)
        made = await ring.add()

        for number in range(3):
            await refusal(ring, wrong(made, number))

        assert 2 == len(ring._wrong)

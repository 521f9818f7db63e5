"""What keys look like, and what is kept of them."""

import re

import pytest
from argon2.exceptions import VerificationError

from flagstream.errors import UnavailableError
from flagstream.keys import Hasher, legacy_id, masked, new_secret, new_token, shown_end
from flagstream.keys.secrets import id_of


class TestSecrets:
    def test_new(self):
        """
        A key has the prefix that SDKs know, its id and 256 random bits; no two are alike.
        """
        made = [new_secret(12) for _ in range(50)]

        assert 50 == len({each.secret for each in made}) == len({each.id for each in made})
        for each in made:
            assert re.fullmatch(rf"phs_{each.id}_[A-Za-z0-9_-]{{43}}", each.secret)
            assert re.fullmatch("12-[a-z0-9]{16}", each.id)
            assert (12, each.id) == id_of(each.secret, 1)

    def test_token(self):
        """
        A token has the prefix that the settings expect.
        """
        assert re.fullmatch(r"phc_[A-Za-z0-9_-]+", new_token())

    @pytest.mark.parametrize("secret", ["", "phs_", "phs_0-0123456789abcdef_x", "phs_x", "\ud800"])
    def test_no_id(self, secret):
        """
        What has no id is looked for under one that follows from the whole of it.
        """
        assert (1, legacy_id(secret, 1)) == id_of(secret, 1)
        assert re.fullmatch("1-[0-9a-f]{16}", legacy_id(secret, 1))

    def test_shown(self):
        """
        Of a long key the last characters are shown, of a short one nothing.
        """
        assert "6789" == shown_end("phs_0123456789_123456789")
        assert "…6789" == masked("phs_0123456789_123456789")
        assert ("", "the secret key") == (shown_end("phs_short"), masked("phs_short"))


class TestHasher:
    async def test_right(self):
        """
        A hash is of one key, is another each time, and is argon2id's.
        """
        hasher = Hasher()
        one, other = [await hasher.hashed("phs_a") for _ in range(2)]

        assert one != other
        assert one.startswith("$argon2id$")
        assert await hasher.is_right(one, "phs_a")
        assert not await hasher.is_right(one, "phs_b")

    @pytest.mark.parametrize("known", ["", "phs_a", "argon2id"])
    async def test_no_hash(self, known):
        """
        What is no hash is the hash of no key.
        """
        assert not await Hasher().is_right(known, "phs_a")

    async def test_cannot_be_computed(self, monkeypatch):
        """
        A hash that cannot be computed for want of memory says nothing of the key.
        """
        hasher = Hasher()
        known = await hasher.hashed("phs_a")
        monkeypatch.setattr("flagstream.keys.hashing._HASHER", OutOfMemory())

        with pytest.raises(UnavailableError):
            await hasher.is_right(known, "phs_a")


class OutOfMemory:
    """What argon2 does where it gets no memory."""

    def verify(self, _known, _secret):
        raise VerificationError("Memory allocation error")

"""Secret keys hashed by argon2id, in a thread and one at a time."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from flagstream.errors import UnavailableError

# OWASP's least: keys are 256 random bits, which nobody guesses however fast the hash is.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Hasher:
    """Hashes and checks; whoever asks waits for a turn, so that no more than one core is taken."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def hashed(self, secret: str) -> str:
        """Hash a key, with a salt of its own."""
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, encoded(secret))

    async def is_right(self, known: str, secret: str) -> bool:
        """
        Tell whether a hash is of this key; what is no hash is of none.

        Raises:
            UnavailableError: It cannot be computed now, for want of memory.
        """
        async with self._turn:
            return await asyncio.to_thread(_is_right, known, encoded(secret))


def encoded(secret: str) -> bytes:
    """Write what is presented as a key as bytes, whatever it is."""
    return secret.encode("utf-8", "surrogatepass")


def _is_right(known: str, secret: bytes) -> bool:
    try:
        return _HASHER.verify(known, secret)
    except (VerifyMismatchError, InvalidHashError):
        return False
    except VerificationError:
        # Not the key's fault, which must not be remembered as wrong.
        raise UnavailableError("The key cannot be checked now.", retry_after_s=1) from None

"""Secret keys that are presented, known again at little cost."""

import asyncio
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flagstream.errors import OverloadedError, UnauthenticatedError, UnavailableError
from flagstream.ports import Caller, Progress, SecretKey, SecretKeys
from flagstream.state.access import FIRST_PROJECT_ID
from flagstream.state.definitions import Kind
from flagstream.topics import Topic, record_key

from .hashing import Hasher, encoded
from .secrets import id_of

_MAX_WRONG = 4_096
_MAX_WAITING = 64
_WRONG_PER_S = 10
_WRONG_OF_A_KEY_PER_S = 3
_RECHECK_S = 0.001
_WRITTEN_AS = (Kind.KEY, Kind.KEY_REVOCATION)


@dataclass(slots=True)
class _Known:
    """
    A key that was presented, and was right.

    Attributes:
        places: Of its records, as they are written.
        caller: As of the key's present state.
    """

    places: Sequence[bytes]
    caller: Caller


class KeyRing:
    """
    Implements :class:`flagstream.ports.Callers`.

    A key's slow hash is computed once in a process. From then on it is known by a digest, under a
    key that this process alone has: who looks for it among others learns nothing from how long that
    takes. What was wrong is remembered as well, and what was not tried before is hashed a few times
    a second, so that guesses take no CPU from anybody.
    """

    def __init__(
        self,
        keys: SecretKeys,
        progress: Progress,
        *,
        operator_keys: Mapping[str, str],
        clock_ms: Callable[[], int],
        wait_timeout_s: float,
    ) -> None:
        """
        Prepare.

        Args:
            operator_keys: That open every project, with what history shows of each.
            wait_timeout_s: For what other processes are known to have written of a key.
        """
        self._keys = keys
        self._progress = progress
        self._clock_ms = clock_ms
        self._wait_timeout_s = wait_timeout_s
        self._hasher = Hasher()
        self._digest_key = secrets.token_bytes(32)
        self._operators = {
            self._digest(key): Caller(author=author) for key, author in operator_keys.items()
        }
        # One for each key, so no more than there are.
        self._right: dict[bytes, _Known] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool | None]] = {}
        self._guesses = _Guesses(clock_ms)

    async def caller(self, secret: str) -> Caller:
        """
        Find who presents a key.

        Raises:
            UnauthenticatedError: The key is unknown, revoked or has expired.
            OverloadedError: Too many keys that nobody has were tried.
            UnavailableError: Another process has just changed the key, and this one is behind.
        """
        digest = self._digest(secret)
        known = self._right.get(digest)
        if known is None:
            operator = self._operators.get(digest)
            if operator is not None:
                return operator
            known = await self._recognized(secret, digest)
        await self._settled(known.places)
        caller, key = known.caller, known.caller.key
        assert key is not None, "it is not the operator's"  # noqa: S101 -- for the type checker
        present = self._open(key.id)
        if present is not key:
            caller = known.caller = Caller(author=caller.author, key=present)
        return caller

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(encoded(secret), digest_size=32, key=self._digest_key).digest()

    async def _recognized(self, secret: str, digest: bytes) -> _Known:
        """Find the key that is presented for the first time, and make sure that it is."""
        project_id, key_id = id_of(secret, FIRST_PROJECT_ID)
        places = [record_key(project_id, kind, key_id) for kind in _WRITTEN_AS]
        await self._settled(places)
        key = self._open(key_id)
        if not await self._is_right(key, secret, digest):
            raise UnauthenticatedError("The secret key is unknown.")
        caller = Caller(author=f"{key.label} ({key_id})", key=key)
        return self._right.setdefault(digest, _Known(places, caller))

    def _open(self, key_id: str) -> SecretKey:
        key = self._keys.key(key_id)
        if key is None:
            raise UnauthenticatedError("The secret key is unknown.")
        if key.revoked_at_ms is not None:
            raise UnauthenticatedError("The secret key was revoked.")
        if key.has_expired(self._clock_ms()):
            raise UnauthenticatedError("The secret key has expired.")
        return key

    async def _settled(self, places: Sequence[bytes]) -> None:
        """Wait until this process knows what others are known to have written of a key."""
        if self._are_settled(places):
            return
        try:
            async with asyncio.timeout(self._wait_timeout_s):
                while not self._are_settled(places):  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(_RECHECK_S)
        except TimeoutError:
            raise UnavailableError("The key was changed just now.", retry_after_s=1) from None

    def _are_settled(self, places: Sequence[bytes]) -> bool:
        key, revocation = places
        is_settled = self._progress.is_settled
        return is_settled(Topic.DEFINITIONS, key) and is_settled(Topic.DEFINITIONS, revocation)

    async def _is_right(self, key: SecretKey, secret: str, digest: bytes) -> bool:
        if digest in self._wrong:
            return False
        checking = self._checking.get(digest)
        if checking is None:
            if len(self._checking) >= _MAX_WAITING:
                raise _too_many()
            # A task, whose end others than the first may wait for.
            checking = asyncio.create_task(self._check(key, secret, digest))
            self._checking[digest] = checking
            checking.add_done_callback(lambda _: self._checking.pop(digest))
        is_right = await asyncio.shield(checking)
        if is_right is None:
            raise _too_many()
        return is_right

    async def _check(self, key: SecretKey, secret: str, digest: bytes) -> bool | None:
        """Compute the slow hash; None where that was done too often for keys that nobody has."""
        async with self._guesses.turn:
            if self._guesses.are_too_many(key.id):
                return None
            if await self._hasher.is_right(key.hash, secret):
                return True
            self._guesses.add(key.id)
        self._wrong[digest] = None
        if len(self._wrong) > _MAX_WRONG:
            self._wrong.popitem(last=False)
        return False


class _Guesses:
    """
    How many keys that nobody has were tried in this second, of each id and of all.

    Attributes:
        turn: One is tried after the other, so that none passes the count of the one before.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.turn = asyncio.Lock()
        self._clock_ms = clock_ms
        self._second = 0
        self._of_keys: Counter[str] = Counter()

    def are_too_many(self, key_id: str) -> bool:
        """Tell whether no other key of this id is to be tried now."""
        second = self._clock_ms() // 1_000
        if second != self._second:
            self._second = second
            self._of_keys.clear()
        is_spent = self._of_keys.total() >= _WRONG_PER_S
        return is_spent or self._of_keys[key_id] >= _WRONG_OF_A_KEY_PER_S

    def add(self, key_id: str) -> None:
        """Count one that was wrong."""
        self._of_keys[key_id] += 1


def _too_many() -> OverloadedError:
    return OverloadedError("Too many unknown secret keys were tried.", retry_after_s=1)

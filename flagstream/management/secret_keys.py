"""Secret keys made, rotated and revoked, and what is kept of their use."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from flagstream.errors import (
    ConflictError,
    InvalidRequestError,
    LogUnavailableError,
    NotFoundError,
    UnavailableError,
)
from flagstream.keys import Hasher, NewSecret, new_secret, shown_end
from flagstream.ports import Append, SecretKey, SecretKeys
from flagstream.state.access import Key, KeyUse, Replaced, Revocation
from flagstream.state.definitions import Kind

from .access_bodies import check_members, expires_at_ms_of, label_of, overlap_ms_of, scopes_of
from .bodies import Row, iso_time
from .writer import DefinitionsWriter, Editor, change_of, definition_of

_log = logging.getLogger(__name__)

_MAX_KEYS = 1_000
_USE_INTERVAL_MS = 3_600_000


class MadeKey(NamedTuple):
    """A key that was just made, and the one time that it is told whole."""

    key: SecretKey
    secret: str


class SecretKeyManagement:
    """The service behind the keys of projects."""

    def __init__(
        self, writer: DefinitionsWriter, keys: SecretKeys, *, clock_ms: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._keys = keys
        self._clock_ms = clock_ms
        self._hasher = Hasher()
        self._noted_ms: dict[str, int] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def create(self, editor: Editor, body: Row) -> MadeKey:
        """
        Make a key with the label and the scopes that *body* names.

        Raises:
            InvalidRequestError: Naming the member that is wrong, or there are too many keys.
        """
        check_members(body, "label", "scopes", "expires_at")
        now_ms = self._clock_ms()
        label, scopes = label_of(body), scopes_of(body)
        expires_at_ms = expires_at_ms_of(body, now_ms)
        present = [key for key in self._keys.keys(editor.project_id) if not _is_over(key, now_ms)]
        if len(present) >= _MAX_KEYS:
            raise InvalidRequestError(f"A project has at most {_MAX_KEYS} keys; revoke some.")
        made = new_secret(editor.project_id)
        key = Key(
            label=label,
            scopes=scopes,
            hash=await self._hasher.hashed(made.secret),
            end=shown_end(made.secret),
            created_at_ms=now_ms,
            created_by=editor.author,
            expires_at_ms=expires_at_ms,
        )
        return await self._write(editor, made, key)

    async def rotate(self, editor: Editor, key_id: str, body: Row) -> MadeKey:
        """
        Make a key like another one, which ends after ``overlap_s`` of *body*.

        The new one lives as long as the old one was to live.

        Raises:
            NotFoundError: The project has no such key.
            ConflictError: The key has ended.
            InvalidRequestError: Naming the member that is wrong.
        """
        check_members(body, "overlap_s")
        overlap_ms, now_ms = overlap_ms_of(body), self._clock_ms()
        old = self._key(editor, key_id)
        if _is_over(old, now_ms):
            raise ConflictError("The key has ended: make another one.")
        expires_at_ms = None
        if old.expires_at_ms is not None:
            expires_at_ms = now_ms + old.expires_at_ms - old.created_at_ms
        made = new_secret(editor.project_id)
        key = Key(
            label=old.label,
            scopes=list(old.scopes),
            hash=await self._hasher.hashed(made.secret),
            end=shown_end(made.secret),
            created_at_ms=now_ms,
            created_by=editor.author,
            expires_at_ms=expires_at_ms,
            replaces=Replaced(id=old.id, ends_at_ms=now_ms + overlap_ms),
        )
        replaced = replace(old, replaced_at_ms=now_ms + overlap_ms)
        change = change_of(editor, Kind.KEY, old.id, _told(replaced), now_ms)
        return await self._write(editor, made, key, change)

    async def revoke(self, editor: Editor, key_id: str) -> SecretKey:
        """
        End a key at once and for good; one that is revoked stays as it is.

        Raises:
            NotFoundError: The project has no such key.
            UnavailableError: It is revoked, but this server does not refuse it yet.
        """
        key, now_ms = self._key(editor, key_id), self._clock_ms()
        if key.revoked_at_ms is not None:
            return key
        revocation = Revocation(revoked_at_ms=now_ms, revoked_by=editor.author)
        is_visible = await self._writer.append(
            editor.project_id,
            [
                # In the key's own history, as its last change.
                change_of(editor, Kind.KEY, key_id, {**_told(key), "deleted": True}, now_ms),
                definition_of(
                    editor.project_id, Kind.KEY_REVOCATION, key_id, revocation.to_body(), now_ms
                ),
            ],
        )
        if not is_visible:
            raise UnavailableError("The revocation is not folded in yet.", retry_after_s=1)
        return self._key(editor, key_id)

    def all(self, project_id: int) -> Sequence[SecretKey]:
        """List the keys of a project, the newest first, ended ones included."""
        return self._keys.keys(project_id)

    def find(self, project_id: int, key_id: str) -> SecretKey:
        """
        Find a key of a project, ended or not.

        Raises:
            NotFoundError: The project has no such key.
        """
        key = self._keys.key(key_id)
        if key is None or key.project_id != project_id:
            raise NotFoundError("There is no key with this id.")
        return key

    def note_use(self, key: SecretKey) -> None:
        """Keep that a key was used just now; once an hour, and without anybody waiting for it."""
        now_ms = self._clock_ms()
        known_ms = self._noted_ms.get(key.id, key.used_at_ms)
        if known_ms is not None and now_ms - max(known_ms, key.used_at_ms or 0) < _USE_INTERVAL_MS:
            return
        self._noted_ms[key.id] = now_ms
        use = KeyUse(used_at_ms=now_ms).to_body()
        noting = asyncio.create_task(
            self._note(key, definition_of(key.project_id, Kind.KEY_USE, key.id, use, now_ms))
        )
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _note(self, key: SecretKey, use: Append) -> None:
        try:
            await self._writer.append(key.project_id, [use])
        except LogUnavailableError as error:
            # Whoever asks is answered all the same; it is noted by the next request in an hour.
            _log.warning("the use of a key is not kept", extra={"detail": str(error)})

    def _key(self, editor: Editor, key_id: str) -> SecretKey:
        return self.find(editor.project_id, key_id)

    async def _write(self, editor: Editor, made: NewSecret, key: Key, *others: Append) -> MadeKey:
        appends = key_appends(editor, made.id, key, self._clock_ms())
        await self._writer.append(editor.project_id, [*others, *appends])
        return MadeKey(SecretKey.of(editor.project_id, made.id, key), made.secret)


def key_appends(editor: Editor, key_id: str, key: Key, now_ms: int) -> list[Append]:
    """Make the records of a new key: the change, and the key."""
    told = _told(SecretKey.of(editor.project_id, key_id, key))
    return [
        change_of(editor, Kind.KEY, key_id, told, now_ms),
        definition_of(editor.project_id, Kind.KEY, key_id, key.to_body(), now_ms),
    ]


def _told(key: SecretKey) -> Row:
    """Write what history is to have of a key: nothing that helps who has no key."""
    ends_at_ms = key.ends_at_ms
    return {
        "label": key.label,
        "scopes": [*key.scopes],
        "expires_at": None if ends_at_ms is None else iso_time(ends_at_ms),
    }


def _is_over(key: SecretKey, now_ms: int) -> bool:
    return key.revoked_at_ms is not None or key.has_expired(now_ms)

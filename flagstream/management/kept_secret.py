"""A secret key that a version of before has kept in clear becomes one of which nobody reads it."""

import logging
from collections.abc import Callable

from flagstream.keys import Hasher, kept_secret, legacy_id, shown_end
from flagstream.ports import RecordSink
from flagstream.settings import Settings
from flagstream.state.access import FIRST_PROJECT_ID, Key, Scope

from .secret_keys import key_appends
from .writer import Editor

_log = logging.getLogger(__name__)


async def take_over_kept_secret(
    settings: Settings, sink: RecordSink, clock_ms: Callable[[], int]
) -> None:
    """
    Write the secret key of keys.json to the log, hashed, and remove it from the file.

    It goes on to open the first project, unless a key is set, beside which it opened nothing. A
    start that is cut short between the two is made up for by the next one: the key has the same id
    then.

    Raises:
        SettingsError: The file cannot be read or written.
        LogUnavailableError: The log takes no writes; the file is as it was.
    """
    kept = kept_secret(settings)
    if kept is None:
        return
    if settings.secret_key.get_secret_value():
        # It opened nothing beside one that is set, and is not to begin with it.
        kept.remove()
        return
    now_ms = clock_ms()
    editor = Editor(FIRST_PROJECT_ID, kept.path.name)
    key = Key(
        label=f"of {kept.path.name}",
        scopes=[Scope.PROJECT_ADMIN.value],
        hash=await Hasher().hashed(kept.secret),
        end=shown_end(kept.secret),
        created_at_ms=now_ms,
        created_by=editor.author,
    )
    key_id = legacy_id(kept.secret, FIRST_PROJECT_ID)
    await sink.append(key_appends(editor, key_id, key, now_ms))
    kept.remove()
    _log.warning("the secret key of keys.json is kept as a hash from now on", extra={"id": key_id})

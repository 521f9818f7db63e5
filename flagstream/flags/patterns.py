"""Regular expressions on RE2: linear in time, bounded in memory, whatever the pattern."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .bucketing import utf8

_MAX_BYTES = 1024 * 1024
_re2: Any = import_module("re2")  # it has no types


class PatternError(ValueError):
    """RE2 refuses the pattern; the message says why."""


def compile_pattern(pattern: str) -> Callable[[bytes], bool]:
    r"""
    Compile a pattern to a search in UTF-8.

    The classes ``\d``, ``\s`` and ``\w`` are those of ASCII; ``$`` is the end of the text alone.

    Raises:
        PatternError: RE2 does not take it.
    """
    options = _re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_BYTES
    try:
        search = _re2.compile(utf8(pattern), options).search
    except _re2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from None
    return lambda text: search(text) is not None

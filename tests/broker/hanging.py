"""``flagstream`` with a bug: its agents wait for ever at a record whose key says so."""

import asyncio
import sys

from flagstream.agents import folding
from flagstream.cli import main

HANGS = "hangs-here"
_fold_message = folding._fold_message


async def _fold_or_hang(message, *args):
    if HANGS.encode() in message.key:
        await asyncio.Event().wait()
    await _fold_message(message, *args)


if __name__ == "__main__":
    folding._fold_message = _fold_or_hang
    main(sys.argv[1:])

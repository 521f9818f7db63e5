"""A small ring of recent event uuids, by which capture knows a client's late retry."""

from collections.abc import Mapping

RING_SIZE = 16


def join_recent(ours: Mapping[str, int], theirs: Mapping[str, int]) -> Mapping[str, int]:
    """
    Keep the newest uuids of both.

    Args:
        ours: Version of the update by the uuid of its event; the highest counts where both know it.

    Returns:
        *ours* itself where *theirs* changes nothing.
    """
    if theirs.items() <= ours.items():
        return ours
    both = dict(ours)
    for uuid, version in theirs.items():
        both[uuid] = max(version, both.get(uuid, version))
    newest = sorted(both.items(), key=lambda entry: (entry[1], entry[0]))[-RING_SIZE:]
    joined = dict(newest)
    return ours if joined == ours else joined

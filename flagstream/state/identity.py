"""Which distinct ids are one person, and what it has: functions of the states of its ids."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from .persons import PersonState

MAX_IDS = 64
"""How many ids of a person are joined, and how long a chain of merges is followed."""
_MAX_TREES = 8
Read = Callable[[str], PersonState | None]
_Tree = Mapping[str, PersonState]


class Identity(NamedTuple):
    """
    The ids of a person.

    An id belongs to the first that it was merged into, which makes a tree. Trees are one person
    where a merge came too late for its id, but holds all the same.

    Attributes:
        root: The id that the person's updates go to.
        trees: The one that a merge came too late for goes behind the other, and in each tree an id
            goes before those merged into it. Nothing may be known of the root yet, only of those.
    """

    root: str
    trees: Sequence[_Tree]

    def states(self) -> Iterator[PersonState]:
        """Iterate over the states of all ids of which something is known."""
        return chain.from_iterable(tree.values() for tree in self.trees)

    def distinct_ids(self) -> Sequence[str]:
        """List all ids, the root first."""
        return tuple(dict.fromkeys((self.root, *chain.from_iterable(self.trees))))


def identity_of(distinct_id: str, read: Read) -> Identity | None:
    """
    Find all ids of a person, from any of them.

    Returns:
        None where nothing is known of it.
    """
    trees: dict[str, _Tree] = {}
    late: set[str] = set()
    pending = [distinct_id]
    for each in pending:
        if len(trees) == _MAX_TREES:
            break
        root, tree = _tree_of(each, read)
        if not tree or root in trees:
            continue
        trees[root] = tree
        for other, is_late in _links(tree, read):
            pending.append(other)
            if is_late:
                late.add(root)
    if not trees:
        return None
    roots = sorted(trees, key=lambda root: (root in late, root))
    return Identity(roots[0], [trees[root] for root in roots])


def path_to_root(distinct_id: str, into: Callable[[str], str | None]) -> Sequence[str]:
    """
    Follow merges: the ids from this one to the root.

    Args:
        into: Reads what an id was merged into.

    Returns:
        Of merges in a circle only the root: the same one from any id of it.
    """
    path = [distinct_id]
    while (following := into(path[-1])) is not None and len(path) <= MAX_IDS:
        if following in path:
            # Two nodes merged in opposite directions, each before it saw the other's merge.
            return [min(path[path.index(following) :])]
        path.append(following)
    return path


def joined_properties(identity: Identity) -> dict[str, Any]:
    """Join properties: a merge is a ``$set_once`` of all that the merged person has."""
    properties: dict[str, Any] = {}
    for tree in identity.trees:
        properties = {**_properties(tree), **properties} if properties else _properties(tree)
    return properties


def joined_hash_keys(identity: Identity) -> dict[str, str]:
    """Join hash keys: an id's own go before those of the ids that were merged into it."""
    hash_keys: dict[str, str] = {}
    for state in identity.states():
        for flag_key, register in state.hash_keys.items():
            hash_keys.setdefault(flag_key, register.value)
    return hash_keys


def _tree_of(distinct_id: str, read: Read) -> tuple[str, _Tree]:
    state = read(distinct_id)
    if state is not None and state.into is None:
        return distinct_id, _states(distinct_id, state, read)
    path = path_to_root(distinct_id, lambda each: _into(read(each)))
    # A merge may be known a moment before anything of the person that it goes into.
    for each in reversed(path[-2:]):
        state = read(each)
        if state is not None:
            return path[-1], _states(each, state, read)
    return path[-1], {}


def _into(state: PersonState | None) -> str | None:
    return None if state is None or state.into is None else state.into[0]


def _states(top: str, state: PersonState, read: Read) -> _Tree:
    """Read the states of an id and of all that were merged into it."""
    states = {top: state}
    pending = [(top, state)]
    for parent, parent_state in pending:
        if not (merged := parent_state.merged):
            continue
        for each in sorted(merged, key=lambda each: (merged[each], each))[:MAX_IDS]:
            member = None if each in states else read(each)
            if member is None or _into(member) != parent:
                continue
            if len(states) == MAX_IDS:
                return states
            states[each] = member
            pending.append((each, member))
    return states


def _links(tree: _Tree, read: Read) -> Iterator[tuple[str, bool]]:
    """Yield the ids of other trees that belong to this one, and whether they were there first."""
    beyond = (
        (each, other) for each, state in tree.items() for other in state.linked if other not in tree
    )
    for each, other in islice(beyond, MAX_IDS):
        is_late = other in tree[each].merged
        merged, into = (read(other), each) if is_late else (tree[each], other)
        # Half of a merge may be known a moment before the other half is.
        if _into(merged) not in (None, into):
            yield other, is_late


def _properties(tree: _Tree) -> dict[str, Any]:
    top, *others = tree
    joined: dict[str, dict[str, Any]] = {}
    merged: defaultdict[str | None, list[str]] = defaultdict(list)
    # Backwards, so that whatever was merged into an id is joined before the id itself.
    for each in reversed(others):
        joined[each] = _with_merged(tree[each], merged[each], joined)
        merged[_into(tree[each])].append(each)
    return _with_merged(tree[top], merged[top], joined)


def _with_merged(
    state: PersonState, merged: Sequence[str], joined: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Add to an id's own properties those of the ids *merged* into it, the latest first."""
    values = state.values()
    taken: set[str] = set()
    for each in reversed(merged):
        version = state.merged[each]
        new = [
            name for name in joined[each] if name not in taken and _is_free(state, name, version)
        ]
        values.update((name, joined[each][name]) for name in new)
        taken.update(new)
    return values


def _is_free(state: PersonState, name: str, version: int) -> bool:
    """Tell whether nothing that *state* says of a property was there when a merge came."""
    last, first = state.properties.get(name), state.once.get(name)
    if last is not None and (not last.is_deleted or last.version >= version):
        return False
    removed = -1 if last is None else last.version
    # Of the same version is the `$set_once` that came with the merge: it comes after it.
    return first is None or not removed < first.version < version

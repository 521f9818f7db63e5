"""What comes of reading or writing a format: definitions, and what could not be taken over."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flagstream.flags.walk import Path, json_path

Row = Mapping[str, Any]
SKIP = "leave it out with --skip-unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    A document that was read from a file.

    Attributes:
        name: The file's, for people.
    """

    name: str
    document: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    What there is in the project that definitions are translated for.

    Attributes:
        group_types: Indexes by name.
        named_types: Names that the reader of the files was told, in the order of their indexes.
        now: When files are read.
    """

    group_types: Mapping[str, int] = field(default_factory=dict[str, int])
    flag_keys: Collection[str] = ()
    cohort_ids: Collection[int] = ()
    timezone: str = "UTC"
    property_matching_version: int = 1
    named_types: Sequence[str] = ()
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    What a format can say and the other cannot.

    Attributes:
        name: Of what is left out with it, ``flag new-billing``.
        place: File and JSON path.
        what: Stands there.
        why: It cannot be taken over.
        instead: What to do.
    """

    name: str
    place: str
    what: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.place}: {self.name}: {self.what}: {self.why}; {self.instead}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """
    A flag or a cohort in flagstream's own format.

    Attributes:
        place: Where it was defined, file and JSON path.
    """

    place: str
    body: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """
    What files of elsewhere say.

    Attributes:
        group_types: To be added to the project, in this order, with the indexes that *flags* and
            *cohorts* count on.
        notes: What is taken over and is still worth knowing, a line each.
    """

    flags: Sequence[Translated] = ()
    cohorts: Sequence[Translated] = ()
    group_types: Mapping[str, int] = field(default_factory=dict[str, int])
    refused: Sequence[Refusal] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """
    Definitions in a format of elsewhere.

    Attributes:
        document: To be written as JSON.
        notes: As of :class:`Imported`.
    """

    document: Row
    refused: Sequence[Refusal] = ()
    notes: Sequence[str] = ()


class Refusals:
    """
    Collects what is wrong with one flag or cohort.

    Attributes:
        found: In the order in which it was found.
    """

    def __init__(self, name: str, file: str, path: Path = ()) -> None:
        self.name = name
        self.found: list[Refusal] = []
        self._file = file
        self._path = path

    def place(self, path: Iterable[int | str] = ()) -> str:
        """Write where something stands within the flag or cohort."""
        return f"{self._file}: {json_path((*self._path, *path))}"

    def add(self, path: Iterable[int | str], what: str, why: str, instead: str) -> None:
        """Note something at a path within the flag or cohort."""
        self.found.append(
            Refusal(name=self.name, place=self.place(path), what=what, why=why, instead=instead)
        )

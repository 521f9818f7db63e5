"""Where flags, cohorts and group types stand in what PostHog answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from flagstream.errors import quote
from flagstream.flags.walk import Path, object_of
from flagstream.state.definitions import Kind

from .items import Item
from .outcome import Refusal, Refusals, Source

_API_FLAG, _API_COHORT, _API_TYPE = {"key", "filters"}, {"id", "is_static"}, {"group_type_index"}
_SETTINGS = ("timezone", "property_matching_version")


class Files:
    """
    What files of PostHog's hold.

    Attributes:
        group_types: Names by PostHog's indexes.
        settings: What documents say of their project: file, name and value.
        refused: What can be read of no file.
    """

    def __init__(self, sources: Sequence[Source], named_types: Sequence[str]) -> None:
        self.items: list[Item] = []
        self.group_types: dict[int, str] = dict(enumerate(named_types))
        self.settings: list[tuple[str, str, Any]] = []
        self.refused: list[Refusal] = []
        for source in sources:
            self._read(source)

    def of(self, kind: Kind) -> list[Item]:
        """Pick the flags, or the cohorts."""
        return [item for item in self.items if item.kind is kind]

    def _read(self, source: Source) -> None:
        document = source.document
        if isinstance(document, list):
            self._read_list(source.name, (), document)
        elif isinstance(document, dict) and isinstance(document.get("flags"), list):
            self._read_document(source.name, document)
        elif isinstance(document, dict) and isinstance(document.get("results"), list):
            self._read_list(source.name, ("results",), document["results"])
            if document.get("next"):
                self._refuse(
                    source.name,
                    ("next",),
                    document["next"],
                    "this is one page of several",
                    "ask with a larger `limit`, or name the other pages' files as well",
                )
        else:
            self._refuse(
                source.name,
                (),
                document,
                "neither a list of PostHog's API nor its document for local evaluation",
                'expected {"results": […]}, a list, or {"flags", "group_type_mapping", "cohorts"}',
            )

    def _read_document(self, file: str, document: Mapping[str, Any]) -> None:
        if "other_cohorts" in document:
            self._refuse(
                file,
                ("other_cohorts",),
                "flagstream's own document for SDKs",
                "it marks flags that SDKs are to ask for, so these would be changed",
                "take what `flagstream export --to posthog` prints",
            )
            return
        for index, name in object_of(document.get("group_type_mapping")).items():
            if index.isdecimal() and isinstance(name, str):
                self.group_types[int(index)] = name
        for at, row in enumerate(document["flags"]):
            self._add(Kind.FLAG, file, ("flags", at), row)
        cohorts = document.get("cohorts")
        if isinstance(cohorts, list):
            self._read_list(file, ("cohorts",), cohorts)
        for name, rules in object_of(cohorts).items():
            if name.isdecimal():
                row = {"id": int(name), "name": f"Cohort {name}", "filters": {"properties": rules}}
                self._add(Kind.COHORT, file, ("cohorts", name), row)
        self.settings += [(file, name, document[name]) for name in _SETTINGS if name in document]

    def _read_list(self, file: str, path: Path, rows: Sequence[Any]) -> None:
        for at, row in enumerate(rows):
            names = object_of(row).keys()
            if names >= _API_FLAG:
                self._add(Kind.FLAG, file, (*path, at), row)
            elif names >= _API_COHORT:
                self._add(Kind.COHORT, file, (*path, at), row)
            elif names >= _API_TYPE and isinstance(row.get("group_type"), str):
                self.group_types[row["group_type_index"]] = row["group_type"]
            else:
                self._refuse(
                    file,
                    (*path, at),
                    row,
                    "neither a flag, nor a cohort, nor a group type",
                    "take PostHog's answers as they are",
                )

    def _add(self, kind: Kind, file: str, path: Path, row: Any) -> None:
        if isinstance(row, dict):
            self.items.append(Item(kind, file, path, row))
        else:
            self._refuse(file, path, row, f"no {kind}", "take PostHog's answers as they are")

    def _refuse(self, file: str, path: Path, what: Any, why: str, instead: str) -> None:
        refusals = Refusals("the file", file)
        refusals.add(path, what if isinstance(what, str) else quote(what), why, instead)
        self.refused += refusals.found

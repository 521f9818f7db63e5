"""What is asked of a flag, and what it answers."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import orjson


class Reason(StrEnum):
    """Why a flag answers as it does; names on the wire."""

    CONDITION_MATCH = "condition_match"
    NO_CONDITION_MATCH = "no_condition_match"
    OUT_OF_ROLLOUT_BOUND = "out_of_rollout_bound"
    NO_GROUP_TYPE = "no_group_type"
    SUPER_CONDITION_VALUE = "super_condition_value"
    HOLDOUT_CONDITION_VALUE = "holdout_condition_value"
    FLAG_DISABLED = "flag_disabled"
    MISSING_DEPENDENCY = "missing_dependency"
    FLAG_DATA_PARSING_ERROR = "flag_data_parsing_error"
    DEPENDENCY_NOT_FOUND = "dependency_not_found"
    DATABASE_ERROR = "database_error"


class Kind(StrEnum):
    """What a flag gives to those who see it."""

    SWITCH = "switch"
    """On or off."""
    VARIANT = "variant"
    """One of several texts."""
    PAYLOAD = "payload"
    """Any JSON: the flag is remote configuration."""


class Basis(StrEnum):
    """What a match follows from."""

    NOTHING = "nothing"
    """The condition lets everybody in, in the same way."""
    RULES = "rules"
    HASH = "hash"
    """The identifier's, after all rules."""


class EvaluationContext(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who asks, and when.

    Attributes:
        groups: Group key as text by name of its type; only usable keys, so none is empty.
        group_properties: By name of the group's type.
        device_id: What flags that are bucketed by device hash; None where it is not known.
        anon_distinct_id: Who the person was before being identified; None where that is not told.
        hash_keys: By flag key, what the person is bucketed by for good.
        distinct_ids: All that are known of the person; members of static cohorts go by any.
        now_ms: The present in Unix milliseconds, for filters on dates.
    """

    distinct_id: str
    groups: Mapping[str, str] = {}
    person_properties: Mapping[str, Any] = {}
    group_properties: Mapping[str, Mapping[str, Any]] = {}
    device_id: str | None = None
    anon_distinct_id: str | None = None
    hash_keys: Mapping[str, str] = {}
    distinct_ids: Sequence[str] = ()
    now_ms: int = 0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """
    One flag's answer. Made when the flag is compiled, never on the request path.

    Equal are those that clients cannot tell apart.

    Attributes:
        id: The flag's.
        version: The flag's.
        condition_index: From 0; of the condition that decided or came closest.
        description: The reason in words.
        payload: JSON text, or None.
        failed: The flag could not be judged; clients keep what they knew of it.
        kind: The flag's.
        basis: Of a match.
        ofrep: The answer as OFREP has it, encoded; kept by who encodes it, None before.
    """

    id: int
    key: str
    version: int
    enabled: bool
    variant: str | None = None
    reason: Reason
    condition_index: int | None = None
    description: str
    payload: str | None = None
    failed: bool = False
    kind: Kind = Kind.SWITCH
    basis: Basis = Basis.RULES
    ofrep: bytes | None = None
    _v2: bytes | None = None

    @property
    def value(self) -> str | bool:
        """The variant, or whether the flag is on."""
        return self.enabled if self.variant is None else self.variant

    @property
    def decoded_payload(self) -> Any:
        """The payload as clients hand it out: decoded; None where there is none."""
        return None if self.payload is None else json.loads(self.payload)

    @property
    def v2(self) -> bytes:
        """The member ``"<key>":{…}`` of the answer that clients know as version 2."""
        known = self._v2
        if known is None:
            # Once it is asked for: most of what a flag can answer it never does.
            known = self._encoded()
            msgspec.structs.force_setattr(self, "_v2", known)
        return known

    def _encoded(self) -> bytes:
        record: dict[str, Any] = {
            "key": self.key,
            "enabled": self.enabled,
            "variant": self.variant,
            "reason": {
                "code": str(self.reason),
                "condition_index": self.condition_index,
                "description": self.description,
            },
            "metadata": {
                "id": self.id,
                "version": self.version,
                # The flag's own description is for those who manage it, not for every browser.
                "description": None,
                "payload": self.payload,
                "has_experiment": False,
            },
        }
        if self.failed:
            record["failed"] = True
        return orjson.dumps({self.key: record})[1:-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evaluation) and self.v2 == other.v2

    def __hash__(self) -> int:
        return hash(self.v2)


class Answers:
    """Makes the answers of one flag."""

    def __init__(
        self,
        flag_id: int,
        key: str,
        version: int,
        payloads: Mapping[str, str] | None = None,
        kind: Kind = Kind.SWITCH,
    ) -> None:
        self._id = flag_id
        self._key = key
        self._version = version
        self._payloads = payloads or {}
        self._kind = kind

    def on(
        self,
        reason: Reason,
        index: int | None,
        description: str,
        variant: str | None = None,
        basis: Basis = Basis.RULES,
    ) -> Evaluation:
        """Make an answer of a flag that is on."""
        return Evaluation(
            id=self._id,
            key=self._key,
            version=self._version,
            enabled=True,
            variant=variant,
            reason=reason,
            condition_index=index,
            description=description,
            payload=self._payloads.get("true" if variant is None else variant),
            kind=self._kind,
            basis=basis,
        )

    def off(
        self, reason: Reason, index: int | None, description: str, *, failed: bool = False
    ) -> Evaluation:
        """Make an answer of a flag that is off, or that could not be judged."""
        return Evaluation(
            id=self._id,
            key=self._key,
            version=self._version,
            enabled=False,
            reason=reason,
            condition_index=index,
            description=description,
            failed=failed,
            kind=self._kind,
        )

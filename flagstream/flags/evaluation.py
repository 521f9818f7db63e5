"""What is asked of a flag, and what it answers."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from .values import encoded


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


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One flag's answer. Made when the flag is compiled, never on the request path.

    Attributes:
        id: The flag's.
        version: The flag's.
        condition_index: From 0; of the condition that decided or came closest.
        description: The reason in words.
        payload: JSON text, or None.
        failed: The flag could not be judged; clients keep what they knew of it.
        v2: The member ``"<key>":{…}`` of the answer that clients know as version 2.
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
    v2: bytes = b""

    @property
    def value(self) -> str | bool:
        """The variant, or whether the flag is on."""
        return self.enabled if self.variant is None else self.variant

    @property
    def decoded_payload(self) -> Any:
        """The payload as clients hand it out: decoded; None where there is none."""
        return None if self.payload is None else json.loads(self.payload)


class Answers:
    """Makes the answers of one flag."""

    def __init__(
        self, flag_id: int, key: str, version: int, payloads: Mapping[str, str] | None = None
    ) -> None:
        self._id = flag_id
        self._key = key
        self._version = version
        self._payloads = payloads or {}
        self._name = encoded(key)

    def on(
        self, reason: Reason, index: int | None, description: str, variant: str | None = None
    ) -> Evaluation:
        """Make an answer of a flag that is on."""
        why = (reason, index, description)
        payload = self._payloads.get("true" if variant is None else variant)
        return self._answer(why, enabled=True, variant=variant, payload=payload)

    def off(
        self, reason: Reason, index: int | None, description: str, *, failed: bool = False
    ) -> Evaluation:
        """Make an answer of a flag that is off, or that could not be judged."""
        return self._answer((reason, index, description), enabled=False, failed=failed)

    def _answer(
        self,
        why: tuple[Reason, int | None, str],
        *,
        enabled: bool,
        variant: str | None = None,
        payload: str | None = None,
        failed: bool = False,
    ) -> Evaluation:
        reason, index, description = why
        record: dict[str, Any] = {
            "key": self._key,
            "enabled": enabled,
            "variant": variant,
            "reason": {
                "code": str(reason),
                "condition_index": index,
                "description": description,
            },
            "metadata": {
                "id": self._id,
                "version": self._version,
                # The flag's own description is for those who manage it, not for every browser.
                "description": None,
                "payload": payload,
                "has_experiment": False,
            },
        }
        if failed:
            record["failed"] = True
        return Evaluation(
            id=self._id,
            key=self._key,
            version=self._version,
            enabled=enabled,
            variant=variant,
            reason=reason,
            condition_index=index,
            description=description,
            payload=payload,
            failed=failed,
            v2=self._name + b":" + orjson.dumps(record),
        )

"""What is asked of a flag, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    FLAG_DATA_PARSING_ERROR = "flag_data_parsing_error"


class EvaluationContext(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who asks.

    Attributes:
        groups: Group key as text by name of its type; only usable keys, so none is empty.
        group_properties: By name of the group's type.
        device_id: What flags that are bucketed by device hash; None where it is not known.
    """

    distinct_id: str
    groups: Mapping[str, str] = {}
    person_properties: Mapping[str, Any] = {}
    group_properties: Mapping[str, Mapping[str, Any]] = {}
    device_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    One flag's answer.

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
    v2: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "v2", _v2(self))

    @property
    def value(self) -> str | bool:
        """The variant, or whether the flag is on."""
        return self.enabled if self.variant is None else self.variant


def _v2(evaluation: Evaluation) -> bytes:
    record: dict[str, Any] = {
        "key": evaluation.key,
        "enabled": evaluation.enabled,
        "variant": evaluation.variant,
        "reason": {
            "code": evaluation.reason,
            "condition_index": evaluation.condition_index,
            "description": evaluation.description,
        },
        "metadata": {
            "id": evaluation.id,
            "version": evaluation.version,
            # The flag's own description is for those who manage it, not for every browser.
            "description": None,
            "payload": evaluation.payload,
            "has_experiment": False,
        },
    }
    if evaluation.failed:
        record["failed"] = True
    return b"%b:%b" % (orjson.dumps(evaluation.key), orjson.dumps(record))

"""Evaluations as OpenFeature's remote evaluation protocol (OFREP) has them."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

from flagstream.flags import Basis, Evaluation, Kind, Reason

from .ready_answers import Answer
from .tallies import tally_of

_DIGEST_BYTES = 16
_REASONS = {
    Reason.SUPER_CONDITION_VALUE: "TARGETING_MATCH",
    Reason.HOLDOUT_CONDITION_VALUE: "SPLIT",
    Reason.OUT_OF_ROLLOUT_BOUND: "SPLIT",
    Reason.FLAG_DISABLED: "DISABLED",
}
_MATCHES = {Basis.NOTHING: "STATIC", Basis.RULES: "TARGETING_MATCH", Basis.HASH: "SPLIT"}
# OpenFeature's DEFAULT, which the protocol leaves out.
_NO_MATCH = "UNKNOWN"
_VALUES = (dict, str, int, float)
_UNREADABLE = (Reason.FLAG_DATA_PARSING_ERROR, Reason.DEPENDENCY_NOT_FOUND)
_NOTHING = object()


def item(evaluation: Evaluation) -> bytes:
    """Encode an evaluation, once: it is kept with it."""
    known = evaluation.ofrep
    if known is None:
        written = _failure(evaluation) if evaluation.failed else _success(evaluation)
        known = orjson.dumps(written)
        msgspec.structs.force_setattr(evaluation, "ofrep", known)
    return known


def answer(project_id: int, evaluations: Sequence[Evaluation]) -> Answer:
    """Take what a bulk answer holds from evaluations."""
    members = [item(evaluation) for evaluation in evaluations]
    digest = blake2b(b",".join(members), digest_size=_DIGEST_BYTES).digest()
    # A sum, so that it does not matter in which part a flag is.
    said = sum([hash((each.key, each.value, each.payload, each.failed)) for each in evaluations])
    has_failed = any(each.failed for each in evaluations)
    return Answer(members, has_failed, tally_of(project_id, evaluations), digest, said)


def etag(seed: str, parts: Sequence[Answer]) -> str:
    """Make the tag of a bulk answer; *seed* stands for the request."""
    digest = blake2b(seed.encode(), digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(part.digest)
    return digest.hexdigest()


def status(evaluation: Evaluation) -> int:
    """Tell the status of an answer that holds nothing else."""
    if not evaluation.failed:
        return 200
    return 400 if evaluation.reason in _UNREADABLE else 500


def _failure(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "key": evaluation.key,
        "errorCode": "PARSE_ERROR" if evaluation.reason in _UNREADABLE else "GENERAL",
        "errorDetails": evaluation.description,
        "metadata": _metadata(evaluation),
    }


def _success(evaluation: Evaluation) -> dict[str, Any]:
    written = {
        "key": evaluation.key,
        "reason": _reason(evaluation),
        # Always: OpenFeature's provider for Python asks for it.
        "variant": evaluation.variant or ("on" if evaluation.enabled else "off"),
        "metadata": _metadata(evaluation),
    }
    value = _value(evaluation)
    return written if value is _NOTHING else {**written, "value": value}


def _reason(evaluation: Evaluation) -> str:
    if evaluation.reason is Reason.CONDITION_MATCH:
        return _MATCHES[evaluation.basis]
    return _REASONS.get(evaluation.reason, _NO_MATCH)


def _value(evaluation: Evaluation) -> Any:
    """Tell the value; :data:`_NOTHING` leaves it to the default in the application's code."""
    if evaluation.reason is Reason.FLAG_DISABLED:
        return _NOTHING
    if evaluation.kind is Kind.SWITCH:
        return evaluation.enabled
    if not evaluation.enabled:
        return _NOTHING
    if evaluation.kind is Kind.VARIANT:
        return evaluation.variant or _NOTHING
    payload = evaluation.payload
    if payload is None:
        return _NOTHING
    # As it is written, whatever its numbers; a list or null is no value of the protocol.
    return orjson.Fragment(payload) if isinstance(evaluation.decoded_payload, _VALUES) else True


def _metadata(evaluation: Evaluation) -> dict[str, Any]:
    metadata = {
        "id": evaluation.id,
        "version": evaluation.version,
        "reason": str(evaluation.reason),
        "condition_index": evaluation.condition_index,
        "payload": evaluation.payload,
    }
    return {name: value for name, value in metadata.items() if value is not None}

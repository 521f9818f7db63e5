"""The JSON schema of files with definitions, made from the model."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from .model import CohortDefinition, FlagDefinition


class _File(BaseModel):
    """Definitions in one file, as ``flagstream export`` prints them."""

    model_config = ConfigDict(
        title="Definitions", extra="forbid", json_schema_extra={"minProperties": 1}
    )

    flags: list[FlagDefinition] = []
    cohorts: list[CohortDefinition] = []


def definitions_schema() -> dict[str, Any]:
    """Make the schema of what ``flagstream apply`` takes: a flag, a list of them, or a document."""
    schema = TypeAdapter(FlagDefinition | list[FlagDefinition] | _File).json_schema(
        mode="validation"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "flagstream definitions",
        **schema,
    }

"""What operations say of themselves beside their handlers, and the OpenAPI document made of it."""

from .descriptions import (
    JSON,
    Access,
    Answer,
    Body,
    Operation,
    Parameter,
    described,
    needs_key,
    operation_of,
)
from .document import ApiDocument
from .places import Section
from .schemas import AnyOf

__all__ = [
    "JSON",
    "Access",
    "Answer",
    "AnyOf",
    "ApiDocument",
    "Body",
    "Operation",
    "Parameter",
    "Section",
    "described",
    "needs_key",
    "operation_of",
]

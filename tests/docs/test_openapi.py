"""The OpenAPI document describes every operation that is served, and no other."""

import schemathesis

from tests.documented import document, served, validator


def test_every_operation_is_described():
    """
    What is served is in the document, with just its methods, and nothing else is.
    """
    described = {
        path: {method.upper() for method in operations}
        for path, operations in document()["paths"].items()
    }

    assert served() == described


def test_it_is_openapi():
    """
    The document is what OpenAPI 3.1 says that a document is.
    """
    assert "3.1.0" == document()["openapi"]
    schemathesis.openapi.from_dict(document()).validate()


def test_operations_have_names_of_their_own():
    """
    No two operations have the same id, by which generated clients name them.
    """
    ids = [
        operation["operationId"]
        for operations in document()["paths"].values()
        for operation in operations.values()
    ]

    assert len(ids) == len(set(ids))


def test_examples_are_right():
    """
    Every example is what its schema asks for.
    """
    examples = [
        (content["schema"], content["example"])
        for operations in document()["paths"].values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "example" in content
    ]

    assert examples
    for schema, example in examples:
        validator(schema).validate(example)

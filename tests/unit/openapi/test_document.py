import json

import pytest
from aiohttp import web
from msgspec import Struct
from pydantic import BaseModel

from flagstream.errors import ConflictError
from flagstream.openapi import Access, Answer, AnyOf, ApiDocument, Body, Parameter, Section
from flagstream.openapi import described as described_as
from flagstream.state.access import Scope

PROJECT = Parameter(name="project", shape=str, text="Whose.", place="path")


class Model(BaseModel):
    """
    A model.

    Attributes:
        size: In bytes,
            of all.
    """

    size: int = 0


class Thing(Struct):
    """
    A thing of ``flagstream``.

    Attributes:
        name: As people
            call it.
    """

    name: str
    model: Model


def documented(handler, method="GET", path="/things"):
    """The operation of a handler, in a document of nothing else."""
    api = ApiDocument(
        sections=[Section("Things", "All of them.", [web.RouteDef(method, path, handler, {})])],
        other_roots=["/other"],
        parameters={"project": PROJECT},
        always={"/health"},
    )
    document = json.loads(api.encoded)
    return document, document["paths"][path][method.lower()]


def refused(operation):
    """The statuses of refusals."""
    return {status for status, said in operation["responses"].items() if "$ref" in said}


def described(*arguments, access=Access.SECRET_KEY, **members):
    """A handler that says something of itself."""

    @described_as(*arguments, access=access, **members)
    async def handler(_request):
        """
        Do something.

        And ``more``.
        """

    return handler


class TestOperation:
    def test_a_handler_that_says_nothing_is_named(self):
        """
        No document is made of a handler that says nothing of itself.
        """

        async def silent(_request): ...

        with pytest.raises(LookupError, match="silent: expected @described"):
            documented(silent)

    def test_docstring(self):
        """
        The first line of the docstring is the summary, the rest is the description.
        """
        _, operation = documented(described(Answer(Thing)))

        assert ("Do something.", "And `more`.") == (operation["summary"], operation["description"])

    @pytest.mark.parametrize(
        ("access", "roles", "said"),
        [
            (Access.SECRET_KEY, [], ""),
            (Access.OPERATOR, ["operator"], "Asked with the operator's key."),
            (Scope.FLAGS_READ, ["flags:read"], "Needs a key with the scope `flags:read`."),
        ],
    )
    def test_scope(self, access, roles, said):
        """
        What a secret key needs is said in words, and as a role of the scheme.
        """
        _, operation = documented(described(Answer(Thing), access=access))

        assert [{"secretKey": roles}] == operation["security"]
        assert "\n\n".join(filter(None, ["And `more`.", said])) == operation["description"]

    def test_no_access(self):
        """
        A handler that does not say who may ask it is none.
        """
        with pytest.raises(TypeError, match="access"):
            described_as(Answer(Thing))

    @pytest.mark.parametrize(
        ("members", "method", "path", "expected"),
        [
            ({"access": Access.NOTHING}, "GET", "/health", set()),
            ({"access": Access.NOTHING}, "GET", "/things", {"503"}),
            ({"access": Access.PUBLIC_TOKEN}, "GET", "/things", {"401", "503"}),
            ({}, "GET", "/{project}", {"401", "403", "404", "429", "503"}),
            ({"access": Scope.FLAGS_READ}, "GET", "/things", {"401", "403", "429", "503"}),
            ({"refusals": [ConflictError]}, "GET", "/a", {"401", "403", "409", "429", "503"}),
            (
                {"access": Access.NOTHING, "body": Body(Thing)},
                "POST",
                "/things",
                {"400", "408", "413", "503"},
            ),
            (
                {
                    "access": Access.NOTHING,
                    "parameters": [Parameter(name="a", shape=int, text="A number.")],
                },
                "GET",
                "/things",
                {"400", "503"},
            ),
        ],
    )
    def test_refusals_follow(self, members, method, path, expected):
        """
        What every handler of the kind refuses need not be said.
        """
        _, operation = documented(described(Answer(Thing), **members), method, path)

        assert expected == refused(operation)

    def test_a_path_is_described_once(self):
        """
        A slash at the end, and other roots, are the same operation.
        """
        handler = described(Answer(Thing))
        routes = [
            web.RouteDef(method, path, handler, {})
            for path in ("/a/", "/a", "/other/a", "/other/a/")
            for method in ("GET", "OPTIONS")
        ]
        api = ApiDocument(
            sections=[Section("", "", routes)], other_roots=["/other"], parameters={}, always=()
        )

        assert {"/a": {"get"}} == {
            path: set(operations) for path, operations in json.loads(api.encoded)["paths"].items()
        }


class TestSchemas:
    def test_attributes_are_members(self):
        """
        What a docstring says of attributes is said of the members that they are.
        """
        document, _ = documented(described(Answer(Thing)))
        thing, model = (document["components"]["schemas"][name] for name in ("Thing", "Model"))

        assert "A thing of `flagstream`." == thing["description"]
        assert {"type": "string", "description": "As people call it."} == thing["properties"][
            "name"
        ]
        assert {"$ref": "#/components/schemas/Model"} == thing["properties"]["model"]
        assert "In bytes, of all." == model["properties"]["size"]["description"]

    def test_any_of_several(self):
        """
        An answer may be one of several structs.
        """
        _, operation = documented(described(Answer(AnyOf(Thing, list[str]))))

        content = operation["responses"]["200"]["content"]["application/json"]
        assert [
            {"$ref": "#/components/schemas/Thing"},
            {"type": "array", "items": {"type": "string"}},
        ] == content["schema"]["anyOf"]

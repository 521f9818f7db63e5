"""Requests of who holds the secret key."""

from tests.fakes.views import PROJECT

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
ROOT = "/api/projects/@current"


async def send(client, method, path, body=None, expected=200):
    """Ask, and read the answer, whose status must be as expected."""
    # Pages are named by whole addresses.
    path = path.replace(str(client.make_url("/"))[:-1], "")
    response = await client.request(method, path, json=body, headers=AUTH)
    assert expected == response.status, await response.text()
    return await response.json()


async def get(client, path, expected=200):
    """Read likewise."""
    return await send(client, "GET", path, expected=expected)

"""What a server says when it is ready: where it is, which keys it takes, and what to try."""

from flagstream.keys import OPERATOR_FILE
from flagstream.settings import Settings

_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- compared, not bound
_TEMPLATE = """
flagstream is ready at {url}

  project token   {token}
  operator key    {operator_key}
  data            {data}

Try it:
{commands}
"""
_CAPTURE = """\
  # an event of a person who acts for the organization acme
  curl {url}/capture/ -H 'Content-Type: application/json' -d '{{"api_key": "{token}",
    "event": "signed in", "distinct_id": "user-1",
    "properties": {{"$groups": {{"organization": "acme"}}}}}}'"""
_FLAGS = """\
  # the flags of that person
  curl '{url}/flags/?v=2' -H 'Content-Type: application/json' -d '{{"token": "{token}",
    "distinct_id": "user-1", "groups": {{"organization": "acme"}}}}'"""
_GROUPS = """\
  # the groups that were seen
  curl '{admin_url}/api/projects/@current/groups/?group_type_index=0' \\
    -H "Authorization: Bearer {bearer}\""""


_WORKER_TEMPLATE = """
flagstream folds what comes in at {broker}

  how it is    {url}/_readiness
  metrics      {admin_url}/metrics
"""


def server_url(settings: Settings, port: int) -> str:
    """Write the address under which this machine reaches the server."""
    return _url(settings.host, port)


def admin_url(settings: Settings, port: int) -> str:
    """Write likewise where everything is answered; *port* is the first of the server."""
    if settings.admin_port:
        return _url(settings.admin_host, settings.admin_port)
    return server_url(settings, port)


def _url(host: str, port: int) -> str:
    host = _LOOPBACKS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def banner(settings: Settings, token: str, port: int) -> str:
    """
    Write the banner; it says where the operator's key is, never what it is.

    Args:
        port: That was bound, as the setting may be 0.
    """
    if settings.secret_key.get_secret_value():
        operator_key, bearer = "as set", "$FLAGSTREAM_SECRET_KEY"
    else:
        file = settings.data_dir.absolute() / OPERATOR_FILE
        operator_key, bearer = f"in {file}, while it runs", f"$(cat '{file}')"
    url = server_url(settings, port)
    commands = "\n\n".join(
        command.format(url=url, admin_url=admin_url(settings, port), token=token, bearer=bearer)
        for command in (_CAPTURE, _FLAGS, _GROUPS)
    )
    return _TEMPLATE.format(
        url=url,
        token=token,
        operator_key=operator_key,
        data=settings.broker_url or settings.data_dir.absolute(),
        commands=commands,
    )


def worker_banner(settings: Settings, port: int) -> str:
    """Write what a process says that answers no requests; *port* likewise."""
    return _WORKER_TEMPLATE.format(
        broker=settings.broker_url,
        url=server_url(settings, port),
        admin_url=admin_url(settings, port),
    )

"""Commands, run as they are typed."""

from click.testing import CliRunner

from flagstream.cli import main


def run(*arguments, **environment):
    """Run a command without a server; fails on a traceback."""
    result = CliRunner().invoke(main, list(map(str, arguments)), env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result

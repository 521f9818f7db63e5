"""The command ``flagstream`` and its subcommands."""

from typing import Any

import click

import flagstream
from flagstream.errors import FlagstreamError

from .access import keys, projects
from .explaining import explain
from .flags import apply, check, export
from .operations import backup, dead_letters, restore, serve, topics, verify, warnings
from .previewing import preview
from .schedules import schedule


class _Commands(click.Group):
    """Commands whose errors are a line on stderr and an exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FlagstreamError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(flagstream.__version__, prog_name="flagstream")
def main() -> None:
    """Feature flags and group state for B2B products, fed by the event stream."""


for _command in (
    *(serve, apply, export, check, explain, preview, schedule, keys, projects),
    *(verify, backup, restore, dead_letters, warnings, topics),
):
    main.add_command(_command)

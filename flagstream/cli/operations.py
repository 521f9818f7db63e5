"""Running a server and looking after it: ``serve``, ``verify``, ``dead-letters`` and others."""

from pathlib import Path
from typing import Any

import click

from .options import (
    broker_option,
    client_options,
    example,
    listen_options,
    make_client,
    read_settings,
    storage_options,
)

_SHOWN_SAMPLES = 3


@click.command(
    epilog=example("flagstream serve --data /var/lib/flagstream --host 0.0.0.0 --port 8080")
)
@storage_options
@listen_options
@broker_option
@click.option(
    "--role",
    type=click.Choice(["all", "worker", "api"]),
    help="On Kafka: fold, answer requests, or both.  [default: all]",
)
@click.option(
    "--api-processes",
    type=int,
    help="Processes that answer beside the one that folds.  [default: 0, one does both]",
)
def serve(config: Path | None, **options: Any) -> None:
    """
    Start a server; it stops on SIGTERM or SIGINT once what it accepted is written.

    Options go before FLAGSTREAM_... variables, those go before the file of settings.
    """
    settings = read_settings(config, **options)
    # Faust takes half a second to import, which the other commands do not need to wait for.
    from flagstream import worker  # noqa: PLC0415

    worker.serve(settings)


@click.command(epilog=example("flagstream verify --data /var/lib/flagstream"))
@storage_options
@broker_option
def verify(config: Path | None, **options: Any) -> None:
    """
    Fold the log anew and compare tables and views with the result.

    The server has to be stopped. Every difference is a line on stderr; the exit code is 1 if there
    is any.
    """
    settings = read_settings(config, **options)
    from flagstream import verify as verification  # noqa: PLC0415 -- as above

    report = verification.verify(settings)
    for line in report.lines:
        click.echo(line)
    for difference in report.differences:
        click.echo(difference, err=True)
    if report.differences:
        raise click.exceptions.Exit(1)
    click.echo("Log, tables and views are equal.")


@click.command(epilog=example("flagstream backup /backups/monday --data /var/lib/flagstream"))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@storage_options
@broker_option
@click.option(
    "--max-megabytes-per-s",
    type=click.FloatRange(min=0, min_open=True),
    default=50,
    show_default=True,
    help="How fast it is written.",
)
def backup(
    directory: Path, config: Path | None, max_megabytes_per_s: float, **options: Any
) -> None:
    """
    Copy all that a running server has acknowledged into DIRECTORY.

    On the server's machine, by a user who may open its data directory. DIRECTORY is made, or is
    empty; it holds what is secret.
    """
    settings = read_settings(config, **options)
    from flagstream import backup as backups  # noqa: PLC0415 -- as above

    manifest = backups.back_up(settings, directory, max_bytes_per_s=max_megabytes_per_s * 1e6)
    click.echo(f"{directory}: {manifest.bytes:,} bytes, as of {manifest.created_at}")


@click.command(epilog=example("flagstream restore /backups/monday --data /var/lib/flagstream"))
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@storage_options
def restore(directory: Path, config: Path | None, **options: Any) -> None:
    """
    Make a data directory of the backup in DIRECTORY, for a server that is not running.

    The data directory is made, or is empty. A damaged backup is refused, and nothing is restored.
    """
    settings = read_settings(config, **options)
    from flagstream import backup as backups  # noqa: PLC0415 -- as above

    manifest = backups.restore(directory, settings.data_dir)
    click.echo(f"{settings.data_dir}: restored as of {manifest.created_at}")


@click.group(epilog=example("flagstream dead-letters list"))
def dead_letters() -> None:
    """Look after records of the log that could not be folded."""


@dead_letters.command("list", epilog=example("flagstream dead-letters list"))
@client_options
def list_dead_letters(**options: Any) -> None:
    """Print the dead letters of a running server, one a line: id, topic, reason."""
    for letter in make_client(**options).dead_letters():
        click.echo(f"{letter['id']}\t{letter['topic']}\t{letter['reason']}")


@dead_letters.command("replay", epilog=example("flagstream dead-letters replay 0-17 0-18"))
@click.argument("ids", nargs=-1, required=True)
@client_options
def replay_dead_letters(ids: tuple[str, ...], **options: Any) -> None:
    """Fold the dead letters IDS of a running server once more."""
    click.echo(f"{make_client(**options).replay(list(ids))} replayed")


@click.command(epilog=example("flagstream warnings --project 1"))
@client_options
def warnings(**options: Any) -> None:
    """
    Print what a running server cut, dropped or refused of what clients sent, and what to do.

    Each kind is a line: kind, what became of it, how often in a day, when last; then what to do,
    and the newest samples.
    """
    for each in make_client(**options).warnings():
        facts = (each["kind"], each["outcome"], str(each["count_24h"]), each["last_seen"])
        click.echo("\t".join(facts))
        click.echo(f"  {each['what_to_do']}")
        for sample in each["samples"][:_SHOWN_SAMPLES]:
            whose = f" ({sample['event']} of {sample['distinct_id']})" if sample["event"] else ""
            click.echo(
                f"  - {sample['field']}: expected {sample['expected']}, got {sample['got']}{whose}"
            )


@click.group(epilog=example("flagstream topics migrate --broker kafka://HOST:9092 --partitions 8"))
def topics() -> None:
    """Look after the topics of a Kafka cluster."""


@topics.command(
    epilog=example("flagstream topics migrate --broker kafka://HOST:9092 --partitions 8")
)
@storage_options
@broker_option
@click.option("--partitions", type=int, help="Partitions of each topic.  [default: as set]")
def migrate(config: Path | None, **options: Any) -> None:
    """
    Make the topics anew with another number of partitions, or repair lost ones.

    Every process has to be stopped. All that was acknowledged is kept, and what was not folded yet
    is. Should it be interrupted, call it again: until it has finished, nothing starts.
    """
    settings = read_settings(config, **options)
    from flagstream import migration  # noqa: PLC0415 -- as above

    layout = migration.migrate(settings)
    click.echo(f"partitions: {layout.partitions}, epoch: {layout.epoch}")

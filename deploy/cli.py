"""The `tidecast` command line: commands, global options, exit codes and log lines. Never does a command's work.

Exit codes: 0 done, 1 the command's own "no", 2 wrong usage or an error that Tidecast explains, 130 interrupted.
Only the module of the command that is asked for is imported, so that help is instant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.command_line import CommandGroup, Everywhere, as_read_here, refusal
from deploy.local.package_check import shadowing
from deploy.terminal.console import PIPE_WIDTH, complain, explain_bugs, say, tolerate_any_encoding

COMMANDS = {
    "demo": "everything at once on this machine, with a simulated platform, shown while it runs",
    "up": "start the system on a local Ray, or on a running cluster with --address",
    "cluster-env": "the environment that `ray start` needs on each host of a cluster",
    "down": "stop what `up` started",
    "console": "live rooms, lists and why, and health as web pages, with a box for a chat line",
    "status": "each worker, its partitions, lag, freshness, index size and versions",
    "logs": "what the system's processes have logged, while it runs and after",
    "letters": "the records that were refused, and why",
    "recommend": "what a viewer would be shown now, and why",
    "rooms": "the rooms that are live now",
    "rules": "pin, boost, bury or hide rooms: list, put and delete operators' rules",
    "simulate": "write a synthetic platform's events to Kafka",
    "replay": "write recorded files to Kafka, at N times real speed",
    "evaluate": "rank recorded visits with each ranker and measure how well",
    "train": "learn a version of the models from the archive or a recording, judge it, publish it",
    "models": "versions of the models: list, show, publish, put live, roll back, retire",
    "rollback": "return to the version of the models that was live before",
    "encoders": "language models that read rooms: list those with short names, unpack one, measure its precision",
    "compress": "make a smaller, faster language model of one that reads rooms",
    "report": "what viewers made of what they were shown: entered, stay, followed; by version and experiment",
    "archive": "keep every topic as Parquet, exactly once; show, merge and delete what is kept",
    "export": "write rooms, profiles, rules and models to files, for another installation",
    "import": "read an export; what is newer here stays, and no erased viewer comes back",
    "topics": "create missing topics and say what differs; never deletes",
    "keys": "API keys: make, list, take back",
    "k8s": "Kubernetes manifests of the settings: print them, or write a folder for kubectl",
    "schema": "the JSON Schema of a topic's records",
    "kafka": "start, stop and look at a local single-node Kafka",
    "config": "the effective configuration and where each value comes from",
}

EPILOG = """\
first steps:
  tidecast demo                       see it work; needs nothing else running
  tidecast up                         run the system; then, in another terminal:
  tidecast simulate                   feed it a platform that does not exist
  tidecast recommend viewer-1         ask what a viewer would be shown

configuration:
  one TOML file (--config FILE, else ./tidecast.toml), then the environment: TIDECAST_SECTION__KEY.
  TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092 uses your Kafka instead of starting one.
  `tidecast config` prints what is in force and where it comes from.

`tidecast COMMAND --help` explains a command, with examples.
"""

INTERRUPTED = 130  # what shells expect of a process that was stopped by Ctrl-C
COMPLETION = "_TIDECAST_COMPLETE"  # set by the shell's script, for typer to complete a word


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. To install or ask for completion ends the process instead."""
    if (problem := shadowing()) is not None:
        say(f"tidecast: {problem}", file=sys.stderr)  # nothing of ours may be imported
        return 2
    tolerate_any_encoding()
    if argv is None:  # this process serves the command alone
        explain_bugs()
    arguments = list(sys.argv[1:] if argv is None else argv)
    from streaming.errors import TidecastError  # noqa: PLC0415  only once it is known to be ours

    try:
        code = _run(arguments)
        sys.stdout.flush()
    except typer.TyperException as err:
        say(refusal(err), file=sys.stderr)
        return 2
    except TidecastError as err:
        complain(f"tidecast: {err}".replace("\n", "\n  "))  # a quoted text begins no line of its own
        return 2
    except KeyboardInterrupt:
        complain("tidecast: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(arguments: list[str]) -> int:
    """Runs a command without click's `main`, which handles interrupts, closed pipes and ends of input itself."""
    group = tidecast()
    if COMPLETION in os.environ:
        os.environ["COLUMNS"] = str(PIPE_WIDTH)  # else a summary is wrapped, and its second line taken for a word
        group.main(prog_name="tidecast")
    try:
        with group.make_context("tidecast", arguments) as context:
            return int(group.invoke(context))
    except typer.Exit as done:  # --help, --version
        return done.exit_code


def tidecast() -> CommandGroup:
    """The command line, for one use: it remembers the global options."""
    app = typer.Typer(
        cls=CommandGroup,
        epilog=EPILOG,
        subcommand_metavar="COMMAND ...",
        rich_markup_mode=None,
        context_settings={"obj": Everywhere(), "max_content_width": 120},
    )
    app.callback()(_everywhere)
    group = as_read_here(app)
    assert isinstance(group, CommandGroup)
    group.summaries = COMMANDS
    return group


def _config(context: typer.Context, value: Path | None) -> None:
    context.obj.config = value or context.obj.config


def _verbose(context: typer.Context, value: int) -> None:
    context.obj.verbose += value


def _help(context: typer.Context, value: bool) -> None:
    if value and not context.resilient_parsing:
        say(context.get_help())
        raise typer.Exit


def _version(context: typer.Context, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version as version_of  # noqa: PLC0415  no other option needs it

        say(f"tidecast {version_of('tidecast')}")
        raise typer.Exit


def _everywhere(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=_config, expose_value=False, help="configuration, instead of ./tidecast.toml"
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            callback=_verbose,
            expose_value=False,
            help="log what happens, one line per event; twice: details",
        ),
    ] = 0,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, expose_value=False, help="show the version and exit"
        ),
    ] = False,
    help_: Annotated[
        bool,
        typer.Option(
            "-h", "--help", is_eager=True, callback=_help, expose_value=False, help="show this message and exit"
        ),
    ] = False,
) -> None:
    """Recommends rooms that are live now: Kafka in, Ray in the middle, fresh answers out."""


if __name__ == "__main__":
    sys.exit(main())

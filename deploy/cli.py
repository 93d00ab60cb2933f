"""Owns the `tidecast` command: its commands, global options, exit codes and log lines. Never does a command's work.

Exit codes: 0 done, 1 the command's own "no", 2 wrong usage or an error that Tidecast explains, 130 interrupted.
Only the module of the command that is asked for is imported, so that help is instant.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, cast

from deploy.commands.parser import Parser
from deploy.local.package_check import shadowing
from deploy.terminal.console import complain, explain_bugs, log_to_stderr, say, tolerate_any_encoding

COMMANDS = {
    "demo": "everything at once on this machine, with a simulated platform, shown while it runs",
    "up": "start the system on a local Ray, or on a running cluster with --address",
    "down": "stop what `up` started",
    "status": "each worker, its partitions, lag, freshness, index size and versions",
    "logs": "what the system's processes have logged, while it runs and after",
    "letters": "the records that were refused, and why",
    "recommend": "what a viewer would be shown now, and why",
    "rooms": "the rooms that are live now",
    "simulate": "write a synthetic platform's events to Kafka",
    "replay": "write recorded files to Kafka, at N times real speed",
    "evaluate": "rank recorded visits with each ranker and measure how well",
    "train": "learn a version of the models from the archive or a recording, judge it, publish it",
    "models": "versions of the models: list, show, publish, put live, roll back, retire",
    "rollback": "return to the version of the models that was live before",
    "archive": "keep every topic as Parquet, exactly once; show, merge and delete what is kept",
    "topics": "create missing topics and say what differs; never deletes",
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


class Command(Protocol):
    """A module of deploy/commands."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Adds the command's own parser and sets its `run`: Namespace → exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code; argparse's own exits (help, wrong usage) are SystemExit."""
    if (problem := shadowing()) is not None:
        say(f"tidecast: {problem}", file=sys.stderr)  # nothing of ours may be imported
        return 2
    tolerate_any_encoding()
    if argv is None:  # this process is the command's alone
        explain_bugs()
    arguments = list(sys.argv[1:] if argv is None else argv)
    from streaming.errors import TidecastError  # noqa: PLC0415  # only once it is known to be ours

    try:
        args = build_parser(asked_for(arguments)).parse_args(arguments)
        configure_logging(args.verbose)
        code = int(args.run(args))
        sys.stdout.flush()
    except TidecastError as err:
        complain(f"tidecast: {err}".replace("\n", "\n  "))  # what it quotes begins no line of its own
        return 2
    except KeyboardInterrupt:
        complain("tidecast: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def asked_for(arguments: Sequence[str]) -> str | None:
    """The command that a command line names, None where it names none."""
    rest = iter(arguments)
    for word in rest:
        if word == "--config":
            next(rest, None)
        elif not word.startswith("-"):
            return word if word in COMMANDS else None
    return None


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser, in full for `command` (None: for no command); the others are there by name and summary."""
    parser: argparse.ArgumentParser = Parser(
        prog="tidecast",
        description="Recommends rooms that are live now: Kafka in, Ray in the middle, fresh answers out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tidecast {version('tidecast')}")
    _add_global_options(parser, config=None, verbose=0)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name == command:
            module = cast(Command, importlib.import_module(f"deploy.commands.{name}"))
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    for subparser in _descendants(parser):
        _add_global_options(subparser, config=argparse.SUPPRESS, verbose=argparse.SUPPRESS)
    return parser


def _add_global_options(parser: argparse.ArgumentParser, *, config: object, verbose: object) -> None:
    """Global options work before and after the command; only the main parser has their defaults."""
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help="configuration, instead of ./tidecast.toml"
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=verbose, help="log what happens, one line per event; twice: details"
    )


def _descendants(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in set(action.choices.values()):
                yield child
                yield from _descendants(child)


def configure_logging(verbose: int) -> None:
    """Sends log lines to stderr: warnings; ours from INFO on with `-v`, from DEBUG on with `-vv`."""
    log_to_stderr((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])


if __name__ == "__main__":
    sys.exit(main())

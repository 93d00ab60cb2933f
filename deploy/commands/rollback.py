"""Owns `tidecast rollback`, the short way to `tidecast models rollback`. Never does more."""

from __future__ import annotations

import argparse

EPILOG = """\
examples:
  tidecast rollback           what was live before is live again, in every replica, without a restart
  tidecast rollback --json

What is live now is retired, so that the next rollback goes further back; before the first version there is v0, the
answer without a model. `tidecast models ls` shows what is live and what it would return to.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "rollback",
        help="return to the version of the models that was live before",
        description="Puts the version of the models live that was live before, and retires the one that is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--uri", metavar="URI", help="the registry, instead of registry.uri")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.commands.models import rollback  # noqa: PLC0415  the help needs none of this
    from deploy.config.settings import from_args  # noqa: PLC0415
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

    with registry_of(from_args(args), args.uri) as registry:
        return rollback(registry, as_json=args.json)

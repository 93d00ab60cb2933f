"""The command `tidecast rollback`, the short way to `tidecast models rollback`. Never does more."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.commands.command_line import settings_of

EPILOG = """\
examples:
  tidecast rollback           what was live before is live again, in every replica, without a restart
  tidecast rollback --json

What is live now is retired, so that the next rollback goes further back; before the first version there is v0, the
answer without a model. `tidecast models ls` shows what is live and what it would return to.
"""


def run(
    context: typer.Context,
    *,
    uri: Annotated[str | None, typer.Option(metavar="URI", help="the registry, instead of registry.uri")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Puts the version of the models live that was live before, and retires the one that is."""
    from deploy.commands.models import rollback  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

    with registry_of(settings_of(context), uri) as registry:
        return rollback(registry, as_json=json)

"""The command `tidecast import`: what `export` wrote, into this installation. Never deletes anything."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.commands.export import INTERRUPTED, Only, asked, encoding_of, log_of, registry_for
from deploy.terminal.console import complain, say, say_json

if TYPE_CHECKING:
    from deploy.transfer.load import Loaded

EPILOG = """\
Everything is checked before anything is written: format, checksums, counts, and that the encoder here is the one there.
A record is written where this installation has none of its key, or an older one; what is newer here stays. So a second
import writes nothing, and after Ctrl-C or a kill the same command goes on.

Stop the system before rooms or profiles are imported (`tidecast down`), since its workers hold them in memory; models
can be imported while it runs. The topics have to be there (`tidecast topics`).

A viewer who was erased here does not come back. That is known from the log for a week, and from archive.uri for as long
as the archive goes back: an older export is refused without an archive.

examples:
  tidecast import backup-monday
  tidecast import s3://bucket/tidecast/monday --only models
  TIDECAST_TOPICS__PREFIX=staging. tidecast import backup-monday --json
"""


def run(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER|URI", help="of `tidecast export`")],
    *,
    only: Only = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Reads rooms, profiles, rules and models of another installation into this one."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415
    from deploy.transfer.kept import What  # noqa: PLC0415
    from deploy.transfer.load import Importer  # noqa: PLC0415
    from deploy.transfer.progress import Stopped  # noqa: PLC0415
    from streaming.archive.reader import Archive  # noqa: PLC0415
    from streaming.archive.store import open_store  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    settings, what = settings_of(context), asked(only)
    stop, began_s, interrupted = threading.Event(), time.monotonic(), False
    store = open_store(folder, "export", "FOLDER")
    archive = Archive(settings.archive.uri) if settings.archive.uri else None
    done: dict[What, Loaded] = {}
    with stop_on_signal(stop), PlainProgress("import", "records") as progress, registry_for(what, settings) as registry:
        importer = Importer(log_of(settings), store, SystemClock(), progress, stop)
        try:
            importer.run(what, encoding_of(settings), registry, archive, done)
        except Stopped:
            interrupted = True
    took_s = time.monotonic() - began_s
    if json:
        say_json(
            {
                "uri": store.masked_uri,
                "interrupted": interrupted,
                "elapsed_s": round(took_s, 3),
                **{name: dataclasses.asdict(one) for name, one in done.items()},
            }
        )
    else:
        for name, one in done.items():
            say(line_of(name, one))
    if interrupted:
        complain("tidecast: interrupted: what is written stays, and the same command goes on from there")
    return INTERRUPTED if interrupted else 0


def line_of(name: str, done: Loaded) -> str:
    """What became of one kind of records, as a line of text."""
    words = [f"{done.written:,} written", f"{done.kept:,} kept as they are here, or newer"]
    if done.erased:
        words.append(f"{done.erased:,} of viewers who were erased here left out")
    if done.unreadable:
        words.append(f"{done.unreadable:,} that this build cannot read left out")
    return "; ".join([f"{name:<9} {done.read:>9,} read: {', '.join(words)}", *done.notes])

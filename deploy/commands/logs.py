"""The command `tidecast logs`: the logs of the system's processes, while it runs and after. Never writes a log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

EPILOG = """\
examples:
  tidecast logs                      the last lines of each of the application's processes
  tidecast logs room-worker -n 200   of the RoomWorkers alone; a pid does as well
  tidecast logs --follow             and whatever comes, until Ctrl-C
  tidecast logs --all                Ray's own processes too
  tidecast logs --kept               which logs of ended systems are kept, and where

Without a running system it shows the logs that the last one left: `tidecast down` and a start that fails keep them.
"""
FOLLOW_EVERY_S = 0.5


def run(
    context: typer.Context,
    process: Annotated[
        list[str] | None, typer.Argument(metavar="PROCESS", help="such as room-worker, or a pid")
    ] = None,
    *,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, metavar="N", help="lines of each process")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on until Ctrl-C")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Ray's own processes too")] = False,
    list_kept: Annotated[bool, typer.Option("--kept", help="list the logs that ended systems left")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
) -> int:
    """Shows the ends of the logs of the system that was started from this folder."""
    from deploy.local.process_logs import chosen, end_of, kept_logs, logs_in  # noqa: PLC0415

    kept = kept_logs([Path(folder, "logs") for folder in FOLDERS])
    if list_kept:
        return _list(list(kept.values()), as_json=json)
    running = _running(context)
    folder = running if running is not None else next(iter(kept.values()), None)
    if folder is None:
        complain("tidecast: nothing runs that was started from this folder, and no logs of an ended system are kept")
        return 1
    if running is None:
        complain(f"no system runs; these are the logs that one left in {folder}")
    logs = logs_in(folder)
    wanted = chosen(logs, process or (), everything=everything)
    if not wanted:
        names = sorted({log.process for log in logs})
        complain(f"tidecast: no log of {', '.join(process or ()) or 'the application'}; there are {', '.join(names)}")
        return 1
    silent = []
    for log in wanted:
        said = end_of(log.path, lines)
        silent += [] if said else [log.process]
        if json:
            for line in said:
                say_json({"process": log.process, "pid": log.pid, "line": line})
        elif said:
            say(f"== {log.process}{f' {log.pid}' if log.pid else ''}  {log.path}")
            say("\n".join(said))
    if silent and not json:
        complain(f"nothing in {len(silent)} of {len(wanted)} logs")
    if follow and running is not None:
        _follow([log.path for log in wanted], {log.path: log.process for log in wanted}, as_json=json)
    return 0


FOLDERS = (Path(".tidecast"), Path(".tidecast/demo"))


def _running(context: typer.Context) -> Path | None:
    """The folder of the logs of a running system, None where none runs."""
    from deploy.local.system import System  # noqa: PLC0415  the help needs none of this

    for folder in FOLDERS:
        running = System(settings_of(context), folder).living()
        if running is not None and running.ray_folder:
            logs = Path(running.ray_folder) / "ray" / "session_latest" / "logs"
            if logs.is_dir():
                return logs
    return None


def _list(folders: Sequence[Path], *, as_json: bool) -> int:
    for folder in folders:
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if as_json:
            say_json({"kept": folder.name, "folder": str(folder), "bytes": size_bytes})
        else:
            say(f"{folder.name}   {size_bytes / 1e6:7.1f} MB   {folder}")
    if not folders and not as_json:
        say("no logs are kept")
    return 0 if folders else 1


def _follow(paths: Sequence[Path], names: dict[Path, str], *, as_json: bool) -> None:
    from deploy.local.process_logs import grown  # noqa: PLC0415

    sizes = {path: path.stat().st_size for path in paths}
    try:
        while True:
            for path, line in grown(paths, sizes):
                if as_json:
                    say_json({"process": names[path], "pid": "", "line": line}, flush=True)
                else:
                    say(f"{names[path]}: {line}", flush=True)
            time.sleep(FOLLOW_EVERY_S)
    except KeyboardInterrupt:
        return

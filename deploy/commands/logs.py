"""Owns `tidecast logs`: what the processes of the system have logged, while it runs and after. Never writes a log."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

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


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "logs",
        help="what the system's processes have logged, while it runs and after",
        description="Shows the ends of the logs of the system that was started from this folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("process", nargs="*", metavar="PROCESS", help="such as room-worker, or a pid")
    parser.add_argument("-n", "--lines", type=_count, default=20, metavar="N", help="lines of each process (20)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--all", action="store_true", help="Ray's own processes too")
    parser.add_argument("--kept", action="store_true", help="list the logs that ended systems left")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.local.process_logs import chosen, end_of, kept_logs, logs_in  # noqa: PLC0415

    kept = kept_logs([Path(folder, "logs") for folder in FOLDERS])
    if args.kept:
        return _list(list(kept.values()), as_json=args.json)
    running = _running(args)
    folder = running if running is not None else next(iter(kept.values()), None)
    if folder is None:
        complain("tidecast: nothing runs that was started from this folder, and no logs of an ended system are kept")
        return 1
    if running is None:
        complain(f"no system runs; these are the logs that one left in {folder}")
    logs = logs_in(folder)
    wanted = chosen(logs, args.process, everything=args.all)
    if not wanted:
        names = sorted({log.process for log in logs})
        complain(f"tidecast: no log of {', '.join(args.process) or 'the application'}; there are {', '.join(names)}")
        return 1
    silent = []
    for log in wanted:
        lines = end_of(log.path, args.lines)
        silent += [] if lines else [log.process]
        if args.json:
            for line in lines:
                say_json({"process": log.process, "pid": log.pid, "line": line})
        elif lines:
            say(f"== {log.process}{f' {log.pid}' if log.pid else ''}  {log.path}")
            say("\n".join(lines))
    if silent and not args.json:
        complain(f"nothing in {len(silent)} of {len(wanted)} logs")
    if args.follow and running is not None:
        _follow([log.path for log in wanted], {log.path: log.process for log in wanted}, as_json=args.json)
    return 0


FOLDERS = (Path(".tidecast"), Path(".tidecast/demo"))


def _running(args: argparse.Namespace) -> Path | None:
    """Where the processes of a running system write their logs."""
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from deploy.local.system import System  # noqa: PLC0415

    for folder in FOLDERS:
        running = System(from_args(args), folder).living()
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


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)

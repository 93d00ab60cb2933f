"""Owns `tidecast models`: the versions of the models, and which of them answers. Never trains one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from deploy.terminal.console import as_json, say, say_json
from streaming.shown import shown_uri

if TYPE_CHECKING:
    from streaming.events import ModelVersion
    from training.registry.registry import GateVerdict, Registry

EPILOG = """\
A version is a folder of three files: manifest.json (what it is, with checksums), weights.safetensors, names.json. The
registry keeps versions (registry.uri), the topic `models` says what each is:

  live        answers; there is always one: v0, the answer without a model, where no other is
  before      has been live; the newest of these is what a rollback returns to
  candidate   published, and has not been live
  retired     out of use; its files are still there, unless they were deleted

Replicas follow the topic: a version goes live without a restart and without one failed request.

actions:
  ls                  every version, the newest word first
  show VERSION        what it is: trained on what, measured at what, its size
  publish FOLDER      check a version's folder, copy it into the registry, announce it; with --live, put it live too
  promote VERSION     put a published version live, by hand: the gate of `tidecast train` is not asked
  rollback            put live what was live before (v0 where nothing was), and retire what is live
  retire VERSION      take a version out of use; with --delete, its files too; never the one that is live

examples:
  tidecast models ls
  tidecast models publish out/2026-01-31 --live
  tidecast rollback                           the same as `tidecast models rollback`
  tidecast models show v0007 --json
"""
NEEDS = {"show": "VERSION", "publish": "FOLDER", "promote": "VERSION", "retire": "VERSION"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models",
        help="versions of the models: list, show, publish, put live, roll back, retire",
        description="Lists versions of the models, and says which of them answers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("ls", "show", "publish", "promote", "rollback", "retire"), help="what to do")
    parser.add_argument("subject", nargs="?", metavar="VERSION|FOLDER", help="of which version, or the folder it is in")
    parser.add_argument("--live", action="store_true", help="publish: put it live at once")
    parser.add_argument("--delete", action="store_true", help="retire: delete its files too")
    parser.add_argument("--uri", metavar="URI", help="the registry, instead of registry.uri")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

    check(args)
    with registry_of(from_args(args), args.uri) as registry:
        return ACTIONS[args.action](registry, args)


def check(args: argparse.Namespace) -> None:
    """Raises ConfigError where words do not belong together."""
    from streaming.errors import ConfigError  # noqa: PLC0415

    needed = NEEDS.get(args.action)
    if needed is not None and args.subject is None:
        raise ConfigError(f"tidecast models {args.action} needs a {needed}; `tidecast models ls` lists the versions")
    if needed is None and args.subject is not None:
        raise ConfigError(f"tidecast models {args.action} takes no {args.subject!r}")
    for option, action in (("live", "publish"), ("delete", "retire")):
        if getattr(args, option) and args.action != action:
            raise ConfigError(f"--{option} is for {action}")


def _ls(registry: Registry, args: argparse.Namespace) -> int:
    from deploy.terminal.model_registry import draw, row_of  # noqa: PLC0415

    versions = registry.versions()
    if args.json:
        say_json({"versions": [row_of(listed) for listed in versions]})
    else:
        draw(versions)
    return 0


def _show(registry: Registry, args: argparse.Namespace) -> int:
    import msgspec  # noqa: PLC0415

    from deploy.terminal.model_registry import describe, row_of  # noqa: PLC0415

    listed, manifest = registry.show(args.subject)
    if args.json:
        say_json({**row_of(listed), "manifest": msgspec.to_builtins(manifest)})
    else:
        say("\n".join(describe(listed, manifest)))
    return 0


def _publish(registry: Registry, args: argparse.Namespace) -> int:
    from deploy.terminal.model_registry import bundle_at  # noqa: PLC0415

    record = registry.publish(bundle_at(args.subject))
    if not args.live:
        said = f"version {record.version} is a candidate, at {shown_uri(record.path)}"
        return _say(args, f"{said}; `tidecast models promote {record.version}` puts it live", _state(record))
    return _promoted(registry, args, record.version)


def _promote(registry: Registry, args: argparse.Namespace) -> int:
    return _promoted(registry, args, args.subject)


def _promoted(registry: Registry, args: argparse.Namespace, version: str) -> int:
    from training.registry.registry import OpenGate  # noqa: PLC0415

    verdict: GateVerdict = registry.promote(version, OpenGate())
    said = f"version {version} is {'live' if verdict.passed else 'not live'}: {verdict.reason}"
    told = {"version": version, "live": verdict.passed, "reason": verdict.reason, "metrics": dict(verdict.metrics)}
    return _say(args, said, told, 0 if verdict.passed else 1)


def _rollback(registry: Registry, args: argparse.Namespace) -> int:
    return rollback(registry, as_json=args.json)


def rollback(registry: Registry, *, as_json: bool) -> int:
    """Rolls back and says so. Raises VersionError, LogError."""
    was, now = registry.rollback()
    if as_json:
        say_json({"was": was, "live": now})
    else:
        say(f"{now} is live again; {was} is retired")
    return 0


def _retire(registry: Registry, args: argparse.Namespace) -> int:
    record = registry.retire(args.subject, delete=args.delete)
    gone = "; its files are deleted" if args.delete else f"; its files stay at {shown_uri(record.path)}"
    return _say(args, f"version {record.version} is retired{gone}", _state(record))


def _state(record: ModelVersion) -> dict[str, Any]:
    return {"version": record.version, "state": record.state, "path": shown_uri(record.path)}


def _say(args: argparse.Namespace, text: str, told: dict[str, Any], code: int = 0) -> int:
    say(as_json(told) if args.json else text)
    return code


ACTIONS = {
    "ls": _ls,
    "show": _show,
    "publish": _publish,
    "promote": _promote,
    "rollback": _rollback,
    "retire": _retire,
}

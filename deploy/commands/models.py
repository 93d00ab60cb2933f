"""The command `tidecast models`: the versions of the models, and which of them answers. Never trains one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import as_json, say, say_json
from streaming.masked_uri import masked_uri

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from streaming.events import ModelVersion
    from training.registry.registry import GateVerdict, Registry

EPILOG = """\
A version is a folder of three files: manifest.json (what it is, with checksums), weights.safetensors, names.json. The
registry keeps versions (registry.uri), the topic `models` says what each is:

  live        answers; there is always one: v0, the answer without a model, where no other is
  before      has been live; the newest of these is what a rollback returns to
  candidate   published, and has not been live
  retired     out of use; its files are still there, unless they were deleted

Replicas follow the topic: a version goes live without a restart and without one failed request. Where it reads another
encoder, rooms are read with both until enough of them have the new vectors.

actions:
  ls                  every version, the newest word first
  show VERSION        what it is: trained on what, measured at what, its size, and where its encoder is
  publish FOLDER      check a version's folder, copy it into the registry, announce it; with --live, put it live too.
                      Its encoder goes with it where that is encoder.model's folder or lies in training.folder/encoders
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


Action = Literal["ls", "show", "publish", "promote", "rollback", "retire"]


@dataclass(frozen=True, slots=True)
class ModelsOptions:
    """A request to the registry. subject: a version or the folder of one, "" where the action needs none."""

    action: Action
    subject: str
    live: bool
    delete: bool
    to_json: bool


def run(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="what to do")],
    subject: Annotated[
        str | None, typer.Argument(metavar="VERSION|FOLDER", help="of which version, or the folder it is in")
    ] = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="publish: put it live at once")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="retire: delete its files too")] = False,
    uri: Annotated[str | None, typer.Option(metavar="URI", help="the registry, instead of registry.uri")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Lists versions of the models, and says which of them answers."""
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415  the help needs none of this

    asked = ModelsOptions(action, subject or "", live, delete, json)
    check(asked)
    settings = settings_of(context)
    with registry_of(settings, uri) as registry:
        return _publish(registry, asked, settings) if action == "publish" else ACTIONS[action](registry, asked)


def check(asked: ModelsOptions) -> None:
    """Checks that the options fit each other. Raises ConfigError."""
    from streaming.errors import ConfigError  # noqa: PLC0415

    needed = NEEDS.get(asked.action)
    if needed is not None and not asked.subject:
        raise ConfigError(f"tidecast models {asked.action} needs a {needed}; `tidecast models ls` lists the versions")
    if needed is None and asked.subject:
        raise ConfigError(f"tidecast models {asked.action} takes no {asked.subject!r}")
    for option, action in (("live", "publish"), ("delete", "retire")):
        if getattr(asked, option) and asked.action != action:
            raise ConfigError(f"--{option} is for {action}")


def _ls(registry: Registry, asked: ModelsOptions) -> int:
    from deploy.terminal.model_registry import draw, row_of  # noqa: PLC0415

    versions = registry.versions()
    if asked.to_json:
        say_json({"versions": [row_of(listed) for listed in versions]})
    else:
        draw(versions)
    return 0


def _show(registry: Registry, asked: ModelsOptions) -> int:
    import msgspec  # noqa: PLC0415

    from deploy.terminal.model_registry import describe, row_of  # noqa: PLC0415

    listed, manifest = registry.show(asked.subject)
    kept = registry.encoder_files(listed.record, manifest)
    if asked.to_json:
        encoder_bytes = None if kept is None else kept.num_bytes
        say_json({**row_of(listed), "encoder_bytes": encoder_bytes, "manifest": msgspec.to_builtins(manifest)})
    else:
        say("\n".join(describe(listed, manifest, kept)))
    return 0


def _publish(registry: Registry, asked: ModelsOptions, settings: Settings) -> int:
    from deploy.terminal.model_registry import bundle_at  # noqa: PLC0415
    from deploy.train.encoder_folder import folder_of_encoder  # noqa: PLC0415

    bundle = bundle_at(asked.subject)
    record = registry.publish(bundle, folder_of_encoder(settings, bundle.manifest.encoder_version))
    if not asked.live:
        said = f"version {record.version} is a candidate, at {masked_uri(record.path)}"
        return _say(asked, f"{said}; `tidecast models promote {record.version}` puts it live", _state(record))
    return _promoted(registry, asked, record.version)


def _promote(registry: Registry, asked: ModelsOptions) -> int:
    return _promoted(registry, asked, asked.subject)


def _promoted(registry: Registry, asked: ModelsOptions, version: str) -> int:
    from training.registry.registry import OpenGate  # noqa: PLC0415

    verdict: GateVerdict = registry.promote(version, OpenGate())
    said = f"version {version} is {'live' if verdict.passed else 'not live'}: {verdict.reason}"
    fields = {"version": version, "live": verdict.passed, "reason": verdict.reason, "metrics": dict(verdict.metrics)}
    return _say(asked, said, fields, 0 if verdict.passed else 1)


def _rollback(registry: Registry, asked: ModelsOptions) -> int:
    return rollback(registry, as_json=asked.to_json)


def rollback(registry: Registry, *, as_json: bool) -> int:
    """Rolls back and prints the result. Raises VersionError, LogError."""
    was, now = registry.rollback()
    if as_json:
        say_json({"was": was, "live": now})
    else:
        say(f"{now} is live again; {was} is retired")
    return 0


def _retire(registry: Registry, asked: ModelsOptions) -> int:
    record = registry.retire(asked.subject, delete=asked.delete)
    gone = "; its files are deleted" if asked.delete else f"; its files stay at {masked_uri(record.path)}"
    return _say(asked, f"version {record.version} is retired{gone}", _state(record))


def _state(record: ModelVersion) -> dict[str, Any]:
    return {"version": record.version, "state": record.state, "path": masked_uri(record.path)}


def _say(asked: ModelsOptions, text: str, fields: dict[str, Any], code: int = 0) -> int:
    say(as_json(fields) if asked.to_json else text)
    return code


ACTIONS = {
    "ls": _ls,
    "show": _show,
    "promote": _promote,
    "rollback": _rollback,
    "retire": _retire,
}

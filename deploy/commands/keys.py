"""The command `tidecast keys`: API keys in the file that replicas read. Never shows a key a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

EPILOG = """\
examples:
  tidecast keys create shop --file keys.toml                   a key that may ask for recommendations
  tidecast keys create chat-relay --scopes ingest --file keys.toml
  tidecast keys create ops --scopes recommend,ingest,admin --file keys.toml
  tidecast keys create trial --requests-per-s 20               into http.keys_file of the configuration
  tidecast keys list                  who has a key, and what each may do
  tidecast keys revoke trial          refused by every replica that reads the file, within 2 s

A key is printed once, and is nowhere afterwards: the file holds its SHA-256. Give it as `Authorization: Bearer KEY`.
Scopes: recommend asks for everything that is read; ingest writes rooms, chat and events; admin changes rules and
erases viewers. A rate is of the whole installation; each replica grants its share.
Copy the file to each host, or mount it: on Kubernetes it is the Secret NAME-keys (docs/kubernetes.md).
"""


def run(
    context: typer.Context,
    action: Annotated[Literal["create", "list", "revoke"], typer.Argument(help="what to do")] = "list",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="whose key")] = "",
    *,
    scopes: Annotated[
        str, typer.Option(metavar="SCOPE,...", help="what a new key may do: recommend, ingest, admin")
    ] = "recommend",
    requests_per_s: Annotated[float, typer.Option(min=0, metavar="N", help="of a new key; 0: no limit")] = 0.0,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="instead of http.keys_file")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Makes, lists and takes back API keys."""
    from streaming.errors import ConfigError  # noqa: PLC0415  the help needs none of this

    place = file or Path(settings_of(context).http.keys_file)
    if place == Path():
        raise ConfigError("no file of keys: give --file FILE, or set http.keys_file")
    if action != "list" and not name:
        raise ConfigError(f"whose key? `tidecast keys {action} NAME`")
    if action == "create":
        return _create(place, name, scopes, requests_per_s, to_json=json)
    return _revoke(place, name) if action == "revoke" else _list(place, to_json=json)


def _create(place: Path, name: str, scopes: str, requests_per_s: float, *, to_json: bool) -> int:
    import msgspec  # noqa: PLC0415

    from deploy.http.keys import NAME, SCOPES, Entry, digest_of, new_key, read_entries, write_entries  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415

    entries = dict(read_entries(place)) if place.exists() else {}
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no name for a key; use letters, digits, '.', '_' and '-'")
    if name in entries:
        raise ConfigError(f"{name} has a key already; `tidecast keys revoke {name}` first, or choose another name")
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ConfigError(f"--scopes {scopes!r}: the scopes are {', '.join(SCOPES)}")
    key = new_key()
    made = {"sha256": digest_of(key).hex(), "scopes": wanted, "requests_per_s": requests_per_s}
    entries[name] = msgspec.convert(made, Entry)
    write_entries(place, entries)
    if to_json:
        say_json({"name": name, "key": key, "scopes": wanted, "file": str(place)})
    else:
        say(key)
        complain(f"the key of {name}, which may {', '.join(wanted)}; it is not shown again")
    return 0


def _revoke(place: Path, name: str) -> int:
    from deploy.http.keys import read_entries, write_entries  # noqa: PLC0415  the help needs none of this
    from streaming.errors import ConfigError  # noqa: PLC0415

    entries = dict(read_entries(place))
    if entries.pop(name, None) is None:
        raise ConfigError(f"{name} has no key in {place}; `tidecast keys list` says who has one")
    write_entries(place, entries)
    say(f"{name} has no key any more")
    if not entries:
        complain("no key is left: replicas that run refuse everybody, and none starts with an empty file")
    return 0


def _list(place: Path, *, to_json: bool) -> int:
    from deploy.http.keys import read_entries  # noqa: PLC0415  the help needs none of this

    entries = read_entries(place)
    if to_json:
        say_json({name: {"scopes": one.scopes, "requests_per_s": one.requests_per_s} for name, one in entries.items()})
        return 0
    for name, one in entries.items():
        rate = f"   {one.requests_per_s:g} requests/s" if one.requests_per_s else ""
        say(f"{name:<24} {', '.join(one.scopes)}{rate}")
    return 0

"""The command `tidecast rules`: operators' rules of a running system, listed, put and deleted. Never obeys one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import console, say, say_json

if TYPE_CHECKING:
    from tidecast_client.types import Rule

EPILOG = """\
examples:
  tidecast rules                                       every rule, and how many live rooms it is about now
  tidecast rules put finals --action pin --streamer ana --reason "the finals, all weekend"
  tidecast rules put launch --action boost --category Chess --weight 2 --for 7200
  tidecast rules put quiet --action bury --language en --tag rerun --weight 1
  tidecast rules put incident --action hide --room room-7
  tidecast rules put evening --action goals --goal enter=1 --goal stay=4 --for 10800
  tidecast rules delete incident

A rule is about the live rooms that have one value of each kind given. It is in force in every replica about a second
after it was put, and replaces one of the same name. One of goals is about no rooms: it says what lists are for where a
request does not. hide is stronger than pin, and what a viewer has hidden is never
pinned. docs/rules.md says what each action does. Rules of the configuration are in [rules.named.NAME]. With --off it
is in force only for viewers whose variant of an experiment switches it on (docs/experiments.md).
"""
Values = list[str] | None


def run(
    context: typer.Context,
    do: Annotated[Literal["list", "put", "delete"], typer.Argument(help="what to do")] = "list",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="of the rule")] = "",
    *,
    action: Annotated[
        Literal["pin", "boost", "bury", "hide", "goals"] | None, typer.Option(help="put: what it does")
    ] = None,
    room: Annotated[Values, typer.Option(metavar="ROOM", help="put: this room; repeatable")] = None,
    streamer: Annotated[Values, typer.Option(metavar="STREAMER", help="put: rooms of this one; repeatable")] = None,
    category: Annotated[Values, typer.Option(metavar="NAME", help="put: rooms of it; repeatable")] = None,
    language: Annotated[Values, typer.Option(metavar="TAG", help="put: rooms in it; repeatable")] = None,
    tag: Annotated[Values, typer.Option(metavar="TAG", help="put: rooms with it; repeatable")] = None,
    weight: Annotated[float, typer.Option(metavar="X", help="put: of boost and bury, 0.01 to 20")] = 1.0,
    position: Annotated[int, typer.Option(metavar="N", help="put: of pin, the place, from 1")] = 1,
    most: Annotated[int, typer.Option(metavar="N", help="put: of pin, how many rooms")] = 1,
    goal: Annotated[
        Values, typer.Option(metavar="NAME=X", help="put: of goals, what an outcome is worth; repeatable")
    ] = None,
    for_: Annotated[
        int | None, typer.Option("--for", min=1, metavar="S", help="put: it ends after so many seconds")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="put: what people read as the reason")] = "",
    off: Annotated[bool, typer.Option("--off", help="put: switched off, for an experiment to switch on")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Lists, puts and deletes rules that pin, boost, bury or hide rooms, or say what lists are for."""
    import msgspec  # noqa: PLC0415  the help needs none of this

    from deploy.http.client import Client  # noqa: PLC0415
    from streaming.errors import ConfigError, RequestError  # noqa: PLC0415
    from streaming.operator_rule import RuleBody  # noqa: PLC0415

    http = settings_of(context).http
    client = Client(http.url, token=http.token)
    if do == "list":
        rules = client.rules()
        if json:
            say_json({"rules": msgspec.to_builtins(rules)})
        else:
            _print(rules)
        return 0
    if not name:
        raise ConfigError(f"which rule? `tidecast rules {do} NAME`")
    if do == "delete":
        deleted = client.delete_rule(name)
        back = "; the configuration's rule of this name counts again" if deleted.restores_configured else ""
        return _say(f"{name} ends within a second or so{back}", msgspec.to_builtins(deleted), to_json=json)
    given = {
        "action": action, "rooms": room or (), "streamers": streamer or (), "categories": category or (),
        "languages": language or (), "tags": tag or (), "weight": weight, "position": position, "most": most,
        "reason": reason, "enabled": not off, "goals": _weights(goal or []),
        "ends_at_ms": None if for_ is None else time.time_ns() // 1_000_000 + 1_000 * for_,
    }  # fmt: skip
    try:
        body = msgspec.convert(given, RuleBody)
    except msgspec.ValidationError as err:
        raise RequestError(str(err), field="", allowed="see `tidecast rules --help`") from err
    put = client.put_rule(name, **msgspec.structs.asdict(body))
    said = "known, and switched off," if off else "in force"
    return _say(f"{name} is {said} within a second or so", msgspec.to_builtins(put), to_json=json)


def _weights(given: list[str]) -> dict[str, float]:
    from streaming.errors import RequestError  # noqa: PLC0415

    weights = {}
    for text in given:
        name, _, worth = text.partition("=")
        try:
            weights[name.strip()] = float(worth)
        except ValueError as err:
            detail = f"--goal {text!r} is no outcome and its worth"
            raise RequestError(detail, field="goal", allowed="such as stay=4") from err
    return weights


def _say(text: str, data: object, *, to_json: bool) -> int:
    if to_json:
        say_json(data)
    else:
        say(text)
    return 0


def _print(rules: list[Rule]) -> None:
    from deploy.terminal.columns import Column, table  # noqa: PLC0415  rich is slow to import
    from deploy.terminal.rule_words import does, num_rooms, of, state  # noqa: PLC0415

    if not rules:
        say("no rules; `tidecast rules --help` has examples")
        return
    columns = (
        Column("rule", least=8),
        Column("does", least=6),
        Column("of", least=24),
        Column("rooms now", right=True),
        Column("state", least=8),
    )
    out = console()
    now_ms = time.time_ns() // 1_000_000
    rows = [(rule.name, does(rule), of(rule), num_rooms(rule), state(rule, now_ms)) for rule in rules]
    out.print(table(columns, rows, out.width))

"""The command `tidecast letters`: the records that were refused, and why. Never writes to the log."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import as_json, one_line, say

if TYPE_CHECKING:
    from streaming.events import DeadLetter

EPILOG = """\
examples:
  tidecast letters                    the newest refused records: where they stood, when, why
  tidecast letters --topic chat -n 5 --values     with what they held
  tidecast letters --count            how many there are, by topic and reason
  tidecast letters --follow           and whatever is refused from now on, until Ctrl-C
  tidecast letters --json | jq .error

A record that cannot be read, or that is refused, goes to the topic `dead-letter` and loses nothing else. Mend the
producer; `topic`, `partition` and `offset` say where the record stands. Kafka keeps letters for 7 days.
"""
BEHIND = 50_000  # letters that are searched for the newest ones
POLL_S = 0.2
SHOWN_BYTES = 2_000


def run(
    context: typer.Context,
    *,
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="only records of this topic")] = None,
    error: Annotated[
        str | None, typer.Option(metavar="TEXT", help="only those whose reason has this text in it")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=0, metavar="N", help="how many, the newest")] = 20,
    values: Annotated[bool, typer.Option("--values", help="show what the records held (it may be chat)")] = False,
    count: Annotated[bool, typer.Option("--count", help="how many by topic and reason, instead of each")] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on until Ctrl-C")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object per line, values in full")] = False,
) -> int:
    """Shows the newest records of the topic dead-letter: what could not be read or was refused."""
    from deploy.terminal.letters import Letters  # noqa: PLC0415  the help needs none of this
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415
    from streaming.log.topics import TOPICS  # noqa: PLC0415

    if topic is not None and topic not in TOPICS:
        raise ConfigError(f"no topic {topic!r}; the topics are {', '.join(TOPICS)}")
    settings = settings_of(context)
    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    log = KafkaLog(kafka, settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
    found = Letters(log)
    letters = [letter for letter in found.newest(BEHIND) if wanted(letter, topic, error)]
    if count:
        _count_up(letters, to_json=json)
    else:
        for letter in letters[-limit:] if limit else []:
            show(letter, values=values, to_json=json)
        if not letters and not follow and not json:
            say("no record was refused" + (f" of {topic}" if topic else ""))
    if follow:
        try:
            while True:
                for letter in found.more(POLL_S):
                    if wanted(letter, topic, error):
                        show(letter, values=values, to_json=json)
        except KeyboardInterrupt:
            pass
    found.close()
    return 1 if found.unread else 0


def wanted(letter: DeadLetter, topic: str | None, error: str | None) -> bool:
    """Whether a letter matches the options."""
    return (topic is None or letter.topic == topic) and (error is None or error in letter.error)


def show(letter: DeadLetter, *, values: bool, to_json: bool) -> None:
    """Prints one letter: a line, and with --values another with the record's value."""
    if to_json:
        say(as_json(as_dict(letter)), flush=True)
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.at_ms / 1000))
    key = f" key {_text(letter.key, 60)}" if letter.key else ""
    say(one_line(f"{when}  {letter.topic}-{letter.partition} at {letter.offset}{key}  {letter.error}"), flush=True)
    if values:
        say(one_line(f"    {_text(letter.value, SHOWN_BYTES)}"), flush=True)


def as_dict(letter: DeadLetter) -> dict[str, Any]:
    """A letter as a JSON object: bytes as text where they are UTF-8, else as {"base64": ...}."""
    return {
        "at_ms": letter.at_ms,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": _plain(letter.key),
        "value": _plain(letter.value),
        "error": letter.error,
    }


def _plain(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _text(value: bytes | None, at_most: int) -> str:
    if value is None:
        return "(no value: a tombstone)"
    text = value[:at_most].decode("utf-8", "replace")
    return text + (f" ... {len(value)} bytes" if len(value) > at_most else "")


def _count_up(letters: list[DeadLetter], *, to_json: bool) -> None:
    counts: dict[tuple[str, str], int] = {}
    for letter in letters:
        reason = letter.error.removeprefix(f"{letter.topic}: ")[:80]
        counts[letter.topic, reason] = counts.get((letter.topic, reason), 0) + 1
    for (topic, reason), count in sorted(counts.items(), key=lambda item: -item[1]):
        if to_json:
            say(as_json({"topic": topic, "reason": reason, "letters": count}))
        else:
            say(f"{count:>8,}  {topic}  {one_line(reason)}")
    if not counts and not to_json:
        say("no record was refused")

"""The parts of docs/kafka.md that are made from the code: the table of topics, and each record's fields.

    python -m deploy.docs.kafka_page docs/kafka.md      brings the page up to date; `make docs` does it too

They stand between `<!-- topics -->` or `<!-- records: TOPIC -->` and `<!-- end -->`; the rest of the page is left as it
is. What a field is comes from its type's description, else from the comment beside it in streaming/events.py.
"""

from __future__ import annotations

import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import Metadata

from deploy.terminal.console import complain
from streaming.events import MAX_AT_MS, MIN_AT_MS
from streaming.log.topics import DAY_MS, HOUR_MS, TOPICS, Topic

_PART = re.compile(r"(<!-- (topics|records: [\w-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_COMMENTED = re.compile(r"^    (\w+):")


def renewed(page: str) -> str:
    """The page with its generated parts as they are now. Raises KeyError: a part names an unknown topic."""
    return _PART.sub(lambda part: f"{part[1]}\n{_made(part[2])}\n{part[3]}", page)


def _made(what: str) -> str:
    if what == "topics":
        return topics_table()
    return "\n".join(_record_table(record) for record in _records(TOPICS[what.removeprefix("records: ")]))


def topics_table() -> str:
    """The table of topics, one row each."""
    lines = ["| topic | key | cleanup | written by | format | partitions |", "|---|---|---|---|---|---|"]
    formats = {"json": "JSON", "msgpack": "MessagePack"}
    for topic in TOPICS.values():
        count = "1" if topic.partitioning == "single" else f"`topics.{topic.partitioning}_partitions`"
        cells = (f"`{topic.name}`", topic.key, _kept(topic), topic.written_by, formats[topic.format], count)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _kept(topic: Topic) -> str:
    kept = "compact" if topic.compact else "delete"
    if topic.retention_ms is None:
        return kept
    days, rest = divmod(topic.retention_ms, DAY_MS)
    return f"{kept}, {days} d" if not rest else f"{kept}, {topic.retention_ms // HOUR_MS} h"


def _records(topic: Topic) -> list[Any]:
    """A topic's records, and after them the records inside them, each once."""
    waiting: list[Any] = list(msgspec.inspect.multi_type_info(topic.records))
    found: dict[type, Any] = {kind.cls: kind for kind in waiting}
    while waiting:
        for field in waiting.pop(0).fields:
            for kind in _inside(field.type):
                if kind.cls not in found:
                    found[kind.cls] = kind
                    waiting.append(kind)
    return list(found.values())


def _inside(kind: Any) -> Iterator[Any]:
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind
    for part in (getattr(kind, "item_type", None), getattr(kind, "type", None), *getattr(kind, "types", ())):
        if part is not None and part is not kind:
            yield from _inside(part)


def _record_table(record: Any) -> str:
    said = comments(record.cls)
    title = f"`{record.cls.__name__}`"
    if record.tag is not None:
        title += f', `"{record.tag_field}": "{record.tag}"`'
    about = " ".join((inspect.getdoc(record.cls) or "").split("\n\n")[0].split())
    lines = [f"**{title}**: {about}", ""]
    place = "| # " if record.array_like else ""
    lines.append(f"{place}| field | type | default | what |")
    lines.append(f"{'|---' if place else ''}|---|---|---|---|")
    for number, field in enumerate(record.fields):
        type_, limits, description = _described(field.type)
        what = description or said.get(field.name, "")
        kind = f"{type_}, {limits}" if limits else type_
        row = f"| `{field.name}` | {kind} | {_default(field)} | {_cell(what)} |"
        lines.append(f"| {number} {row}" if place else row)
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    if field.required:
        return "required"
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return "unchanged"  # left out of an update
    if isinstance(value, bytes):
        return "empty"
    return "`null`" if value is None else f"`{msgspec.json.encode(value).decode()}`"


def _described(kind: Any) -> tuple[str, str, str]:
    """A type in words, its limits, and its description ("" for none)."""
    description = ""
    while isinstance(kind, Metadata):
        description = (kind.extra_json_schema or {}).get("description", description)
        kind = kind.type
    if isinstance(kind, msgspec.inspect.UnionType):
        parts = [part for part in kind.types if not isinstance(part, msgspec.inspect.NoneType)]
        words, limits, inner = _described(parts[0])
        nullable = any(isinstance(part, msgspec.inspect.NoneType) for part in kind.types)
        return (f"{words} or null" if nullable else words), limits, description or inner
    return _words(kind), _limits(kind), description


def _words(kind: Any) -> str:
    names = {
        msgspec.inspect.IntType: "integer",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "true or false",
        msgspec.inspect.StrType: "text",
        msgspec.inspect.BytesType: "bytes",
    }
    for known, words in names.items():
        if isinstance(kind, known):
            return words
    if isinstance(kind, msgspec.inspect.StructType):
        return f"`{kind.cls.__name__}`"
    if isinstance(kind, msgspec.inspect.LiteralType):
        *others, last = (f"`{value}`" for value in kind.values)
        return f"{', '.join(others)} or {last}" if others else last
    if isinstance(kind, msgspec.inspect.DictType):
        return f"object of {_described(kind.value_type)[0]}s by {_described(kind.key_type)[0]}"
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        words, limits, _ = _described(kind.item_type)
        return f"array of {words}" + (f" ({limits})" if limits else "")
    raise TypeError(f"a field of type {kind} has no words yet: add them here")


def _limits(kind: Any) -> str:
    least, most = getattr(kind, "ge", None), getattr(kind, "le", None)
    if (least, most) == (MIN_AT_MS, MAX_AT_MS):
        return "from 1990 to 2100"
    shortest, longest = getattr(kind, "min_length", None), getattr(kind, "max_length", None)
    unit = " characters" if isinstance(kind, msgspec.inspect.StrType) else ""
    said = [f"from {least:,}"] if least is not None else []
    said += [f"to {most:,}"] if most is not None else []
    said += [f"{shortest} to {longest}{unit}"] if shortest else []
    said += [f"at most {longest}{unit}"] if longest is not None and not shortest else []
    return " ".join(said)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def comments(record: type) -> dict[str, str]:
    """The comments beside a record's fields in the source, by field, without the mark; also of its base classes."""
    found: dict[str, str] = {}
    for part in reversed(record.__mro__):
        if issubclass(part, msgspec.Struct) and part is not msgspec.Struct:
            for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(part)).readline):
                if token.type == tokenize.COMMENT and (field := _COMMENTED.match(token.line)):
                    found[field[1]] = token.string.lstrip("# ")
    return found


def main() -> int:
    if len(sys.argv) != 2:
        complain(f"usage: python -m {__spec__.name} PAGE")
        return 2
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Reads output of `kafka-console-consumer` on rooms, chat and viewer-events. Never reads from a broker."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from streaming.errors import InputFileError
from streaming.events import SCHEMA_VERSION
from streaming.recorded.formats.format import EVENT_ID, BadRow, Block
from streaming.recorded.formats.json_lines import Fields, as_rows, decoded, field_names, mapping, quoted
from streaming.recorded.formats.recorded_file import Head, Lines, RecordedFile

_PRINTED = re.compile(
    rb"(?:(?:CreateTime|LogAppendTime):-?\d+|NO_TIMESTAMP|Partition:\d+|Offset:\d+|NO_HEADERS)(?:\t|$|\W)"
)
_KEY_AND_VALUE = re.compile(rb'[^{\t]*\t(?:\{"|null$)')
_KINDS = {"started": "rooms", "updated": "rooms", "ended": "rooms", "chat": "chat", "viewer": "viewer-events",
          "erased": "erasures", "speech": "transcripts"}  # fmt: skip  # these two are not played
# Messages of the consumer, of kcat and of Java, and lines of a log.
_SAID = (
    b"Processed a total of", b"^C", b"%", b"[20", b"Picked up ", b"OpenJDK ", b"Java HotSpot", b"WARNING:", b"SLF4J:",
)  # fmt: skip
_NULL = re.compile(rb"(?:^|.*[^\w\s]|.*\t) ?<?null>?", re.IGNORECASE)  # null.literal may change the text
_TWO_VALUES = re.compile(rb'[}\]"]\W{1,4}\{')  # a JSON key or header, and then the value
_AFTER = re.compile(rb"\W{1,4}(?:Partition:)?\d+")  # printed after the value by older consumers
MOST_VALUES = 64  # most braces tried in a line
TOMBSTONES = "left out: tombstones"
NO_RECORD = "left out: lines that are no records"
OTHER_TOPIC = "left out: records of other topics"
TRANSCRIPTS = "left out: transcripts of what streamers said"
COPIES = "left out: copies of records that stood in another partition"


class ConsoleConsumer:
    """Lines of kafka-console-consumer: a record's value, and before it the parts that its options print.

    The options print.timestamp, print.partition, print.offset, print.headers and print.key print
    `CreateTime:1739751496177`, `Partition:0`, `Offset:7`, the headers and the key, with key.separator between. Format:
    apache/kafka, tools/.../consumer/DefaultMessageFormatter.java.

    The value's own at_ms counts. A null value is a tombstone and is left out. So is a forwarded copy, because its
    original is in the dump as well. From a dump of several topics one topic at a time is read.
    """

    name = "kafka-console-consumer"
    title = "kafka-console-consumer"
    numbered = "row"
    typed = True
    sparse = True

    def recognises(self, head: Head) -> bool:
        lines = [line for line in head.lines()[:20] if not line.startswith(_SAID)]
        if not lines:
            return False
        if _PRINTED.match(lines[0]) or _KEY_AND_VALUE.match(lines[0]):
            return True
        return any(_of_ours(value) for line in lines[:3] if (value := _value(line)))

    def columns(self, file: RecordedFile) -> frozenset[str]:
        names: set[str] = set()
        bad: list[BadRow] = []
        for lines in file.line_blocks():
            for row, line in enumerate(lines.lines, lines.first):
                record = mapping(decoded(value, bad, row)) if (value := _value(line)) else {}
                if _KINDS.get(str(record.get("type")).lower(), file.kind) == file.kind:
                    names.update(field_names(record))
            break
        if not names:
            said = f"; row {bad[0].row}: {bad[0].reason}" if bad else ""
            raise InputFileError(f"{file.path}: {self.title} has printed no record of {file.kind} there{said}")
        return frozenset(names | {EVENT_ID} if "id" in names else names)

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        fields = Fields([*("id" if name == EVENT_ID else name for name in columns), "v", *_ABOUT])
        for lines in file.line_blocks():
            values: list[bytes] = []
            rows: list[int] = []
            remarks: Counter[str] = Counter()
            bad: list[BadRow] = []
            for row, line in enumerate(lines.lines, lines.first):
                value = _value(line)
                if value:
                    values.append(value)
                    rows.append(row)
                elif value is None:
                    bad.append(BadRow(row, "no value", f"holds no value that is JSON: {quoted(line)}"))
                elif line.strip():
                    remarks[NO_RECORD if line.startswith(_SAID) else TOMBSTONES] += 1
            block = fields.block(Lines(lines.first, values), rows)
            yield _of_this_version(_wanted(block, file.kind, bad, remarks))


_ABOUT = ("type", "forwarded")


def _value(line: bytes) -> bytes | None:
    """The JSON of a line's record; empty for a line that needs none; None where it is missing."""
    line = line.strip()
    if line.startswith(b"{"):
        return line if line.endswith(b"}") and not _TWO_VALUES.search(line) else _whole(line) or line
    last = line.rpartition(b"\t")[2]
    if last.startswith(b"{") and last.endswith(b"}"):
        return last
    if not line or line.startswith(_SAID) or (b"null" in line[-6:].lower() and _NULL.fullmatch(line)):
        return b""
    at = line.find(b"{")
    return None if at < 0 else _whole(line[at:]) or line[at:]


def _whole(line: bytes) -> bytes | None:
    """The first object of a line that ends the line, or is followed by a printed suffix; None for none."""
    at = line.find(b"{")
    for _ in range(MOST_VALUES):
        if at < 0:
            return None
        for end in {len(line), line.rfind(b"}") + 1}:
            if (end == len(line) or _AFTER.fullmatch(line, end)) and isinstance(decoded(line[at:end], None), dict):
                return line[at:end]
        at = line.find(b"{", at + 1)
    return None


def _wanted(block: Block, kind: str, bad: Sequence[BadRow], remarks: Counter[str]) -> Block:
    """Selects the records of one topic, without forwarded copies."""
    types, copies = block.columns["type"], block.columns["forwarded"]
    others = {name for name in types if isinstance(name, str)}
    others = {name for name in others if _KINDS.get(name.lower(), kind) != kind}
    other = [at for at, name in enumerate(types) if isinstance(name, str) and name in others] if others else []
    spoken = sum(_KINDS.get(str(types[at]).lower()) == "transcripts" for at in other) if kind == "chat" else 0
    again: list[int] = []
    if copies.count(None) < len(copies):
        again = [
            at
            for at, mark in enumerate(copies)
            if mark is not None and not (isinstance(types[at], str) and types[at] in others)
        ]
    left_out = ((OTHER_TOPIC, len(other) - spoken), (TRANSCRIPTS, spoken), (COPIES, len(again)))
    remarks.update({what: number for what, number in left_out if number})
    columns = {EVENT_ID if name == "id" else name: values for name, values in block.columns.items()}
    return _without({*other, *again}, Block(columns, block.rows_N, [*bad, *block.bad], remarks))


def _without(left_out: set[int], block: Block) -> Block:
    if not left_out:
        return block
    kept = [at for at in range(len(block.rows_N)) if at not in left_out]
    columns = {name: [values[at] for at in kept] for name, values in block.columns.items()}
    return Block(columns, as_rows(block.rows_N[kept].tolist()), block.bad, block.remarks)


def _of_this_version(block: Block) -> Block:
    """Makes records of another schema version bad rows."""
    versions = block.columns["v"]
    wrong = [at for at, version in enumerate(versions) if version not in (None, SCHEMA_VERSION)]
    if not wrong:
        return block
    bad = [
        BadRow(
            int(block.rows_N[at]), "another schema version",
            f"has the schema version {ascii(versions[at])[:20]}; this build reads version {SCHEMA_VERSION}",
        )
        for at in wrong
    ]  # fmt: skip
    return _without(set(wrong), Block(block.columns, block.rows_N, [*block.bad, *bad], block.remarks))


def _of_ours(line: bytes) -> bool:
    record = mapping(decoded(line, None))
    kind = record.get("type")
    return isinstance(kind, str) and kind.lower() in _KINDS and "room" in record and "at_ms" in record

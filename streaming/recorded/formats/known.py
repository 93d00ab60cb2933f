"""The list of known formats of recordings, and the choice of a file's. Never reads a row."""

from __future__ import annotations

from streaming.errors import InputFileError
from streaming.recorded.formats.chat_downloader import ChatDownloader
from streaming.recorded.formats.chatterino import Chatterino
from streaming.recorded.formats.comma_separated import CommaSeparated
from streaming.recorded.formats.console_consumer import ConsoleConsumer
from streaming.recorded.formats.format import Format
from streaming.recorded.formats.json_lines import JsonLines
from streaming.recorded.formats.justlog import Justlog
from streaming.recorded.formats.parquet import Parquet
from streaming.recorded.formats.recorded_file import RecordedFile

# In the order of trial: formats that recognise files by more than a name come first.
FORMATS: tuple[Format, ...] = (
    Parquet(), ConsoleConsumer(), Justlog(), Chatterino(), ChatDownloader(), CommaSeparated(), JsonLines(),
)  # fmt: skip


def find_format(file: RecordedFile, name: str | None) -> Format:
    """The format of that name, or that of the file. Raises InputFileError: unknown, or not recognised."""
    if name is not None:
        for known in FORMATS:
            if known.name == name:
                return known
        raise InputFileError(f"no format {name!r}; the formats are {', '.join(known.name for known in FORMATS)}")
    head = file.head()
    for known in FORMATS:
        if known.recognises(head):
            return known
    raise InputFileError(
        f"{file.path}: not a recording that is known; tried: {', '.join(known.title for known in FORMATS)}. "
        "--format says which it is; else write it as CSV, JSON lines or Parquet"
    )

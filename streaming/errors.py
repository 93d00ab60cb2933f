"""The one tree of Tidecast's errors. Never raises, never logs.

TidecastError
├── ConfigError          a key or value of the configuration
├── RecordError          bytes that are not a record  → dead letter, counted
│   ├── MalformedRecord  not JSON or MessagePack, a wrong type, a value out of range
│   └── UnknownVersion   a schema version this build does not read
├── LogError             the log
│   ├── LogUnavailable   no broker answers
│   ├── Unreadable       a partition that holds what cannot be read: damaged, or packed with an unknown codec
│   ├── TopicMissing     a topic is not there; `tidecast topics` creates it
│   └── Fenced           another process has taken this worker's place; stop writing
├── ClockMoved           this machine's clock was put back or far ahead; what waits for it begins anew
├── LocalKafkaError      the Kafka that Tidecast starts itself
├── ArchiveError         the archive: its URI, a folder that cannot be written, a disk that is full
│   └── BadArchiveFile   a file in it that is damaged, or not the archive's  → skipped, named, counted
├── StoreError           a file in which a worker keeps profiles
│   ├── StoreDamaged     it is not as it was written  → thrown away, read again from the log, counted
│   └── StoreUnwritable  the disk is full, or the file has its most bytes  → kept in memory, counted
├── VersionError         a version of the models: its files, their checksums, its compatibility; the registry
├── TrainingError        what a model was to learn from, or learning itself
│   └── Diverged         learning came to a number that is none; the same run does so again
├── InputFileError       a recorded file: which file, which column, what is expected
├── EncoderError         the content encoder
├── EncoderAway          a text that somebody asks with, and that the Encoder has not turned into a vector in time
├── NotTaken             records that came over HTTP and that Kafka has not acknowledged
│   └── TooManyWaiting   too many others wait to be written
├── KeyReused            an Idempotency-Key that came with other records before
├── RequestError         a request: which field, what is allowed
├── UnknownRoom          a room that is not live
└── UnknownViewer        a viewer without a profile
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming.troubles import Trouble
from streaming.masked_uri import masked


class TidecastError(Exception):
    """Every error that Tidecast raises on purpose. Its message says what, which value and what to do.

    A message may hold a URI, ours or a library's: its text leaves out the secrets in it.
    """

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigError(TidecastError):
    """A key or a value of the configuration is wrong."""


class RecordError(TidecastError):
    """Bytes on the log that cannot be read as a record."""


class MalformedRecord(RecordError):
    """Not JSON or MessagePack, a wrong type, a missing field, or a value out of its range."""


class UnknownVersion(RecordError):
    """A schema version that this build does not read."""


class LogError(TidecastError):
    """The log cannot do what it was asked to."""


class LogUnavailable(LogError):
    """No broker answers."""


class Unreadable(LogError):
    """A partition holds something that cannot be read, and the caller needs all of it.

    trouble: its place and cause.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.topic} partition {trouble.partition}: {trouble.message}")
        self.trouble = trouble


class TopicMissing(LogError):
    """A topic that is needed does not exist."""


class Fenced(LogError):
    """Another process has taken this worker's place: nothing more may be written."""


class ClockMoved(TidecastError):
    """This machine's clock was put back or far ahead, so that deadlines would come too late, or at once."""


class LocalKafkaError(TidecastError):
    """The Kafka that Tidecast starts itself cannot be started or stopped."""


class ArchiveError(TidecastError):
    """The archive cannot be opened, read or written."""


class BadArchiveFile(ArchiveError):
    """A file in the archive's folder that is damaged, or that the archive has not written."""


class StoreError(TidecastError):
    """A file in which a worker keeps profiles cannot be used. The log has them all."""


class StoreDamaged(StoreError):
    """A file is not as it was written."""


class StoreUnwritable(StoreError):
    """A file cannot be written: the disk is full, or the file has its most bytes."""


class VersionError(TidecastError):
    """A version of the models that cannot be written, read, used or put live."""


class TrainingError(TidecastError):
    """A model cannot learn from what it is given, or has stopped learning."""


class Diverged(TrainingError):
    """Learning came to a loss that is not a number: the same run, gone on with, comes to it again."""


class InputFileError(TidecastError):
    """A recorded file cannot be read."""


class EncoderError(TidecastError):
    """The content encoder cannot be loaded or cannot encode."""


class EncoderUnknown(EncoderError):
    """No encoder of this version can be had here: neither the settings nor the registry know its files."""


class EncoderAway(TidecastError):
    """The Encoder has not turned a text that somebody asks with into a vector in time, or has too much to do."""


class NotTaken(TidecastError):
    """Records that came over HTTP are not acknowledged.

    may_be_written: whether some of them may be on the log all the same, or come there yet.
    """

    def __init__(self, message: str, *, may_be_written: bool) -> None:
        super().__init__(message)
        self.may_be_written = may_be_written


class TooManyWaiting(NotTaken):
    """So many records wait to be written that no more are taken; none of these is written."""


class KeyReused(TidecastError):
    """An Idempotency-Key names one request, and came with another one's records before."""


class RequestError(TidecastError):
    """A request asks for something that is not allowed.

    field: the JSON path of the offending field, "" for the body as a whole. allowed: what may stand there.
    """

    def __init__(self, message: str, *, field: str, allowed: str) -> None:
        super().__init__(message)
        self.field = field
        self.allowed = allowed


class UnknownRoom(TidecastError):
    """A room that is not live now."""


class UnknownViewer(TidecastError):
    """A viewer without a profile."""

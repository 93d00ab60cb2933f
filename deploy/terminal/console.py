"""The one door to the terminal: everything that a command prints goes through here. Never decides what is printed.

Titles, names and errors quote what producers wrote. A control character in it could move the cursor, set the window's
title or hide a line, so none of them reaches a terminal, a pipe or a log.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from deploy.terminal.clean_console import CleanConsole

# C0 (except newline and tab), DEL, C1, line and paragraph separators, bidirectional embeddings, overrides and isolates,
# lone surrogates. Not: joiners and variation selectors (emoji, Persian, Indic), U+200E, U+200F.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ud800-\udfff\ufff9-\ufffb]")
SPACES = re.compile(r"[\n\t]+")
REPLACEMENT = "\ufffd"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
OUR_LOGGERS = ("streaming", "actors", "training", "deploy")
PIPE_WIDTH = 100_000  # width of a table in a file or a pipe: nothing is cut there


def clean(text: str) -> str:
    """The text without characters that could affect a terminal; newlines and tabs stay."""
    return UNSAFE.sub(REPLACEMENT, text)


def one_line(text: str) -> str:
    """The text cleaned, on one line."""
    return SPACES.sub(" ", clean(text))


def say(text: str = "", *, file: TextIO | None = None, end: str = "\n", flush: bool = False) -> None:
    """Prints a text on stdout, or on `file`."""
    print(clean(text), file=file or sys.stdout, end=end, flush=flush)


def complain(text: str) -> None:
    """Prints one of the program's own lines on stderr: an error, a warning, a step. Secrets in URIs are masked."""
    print(clean(without_secrets(text)), file=sys.stderr, flush=True)


def say_json(value: Any, *, indent: int | None = None, flush: bool = False) -> None:
    """Prints a value as JSON. Nothing is lost: characters that could affect a terminal are escaped."""
    print(as_json(value, indent=indent), flush=flush)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON on one line, or indented. Characters that could affect a terminal are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def log_to_stderr(ours: int, *, beside_others: bool = False) -> None:
    """Sends log lines to stderr, cleaned: our own from this level on, other libraries' warnings.

    beside_others: for processes such as Serve's, whose root logger and sys.stderr belong to another. Then only our own
    lines are sent, to the process's own stderr.
    """
    handler = logging.StreamHandler(sys.__stderr__ if beside_others else sys.stderr)
    handler.setFormatter(CleanFormatter(LOG_FORMAT))
    if not beside_others:
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(ours)
        if beside_others:
            logger.handlers, logger.propagate = [handler], False


def log_as_json(ours: int, process: Callable[[], str]) -> None:
    """Sends our own log lines to the process's stdout, a JSON object each, for a log collector: see JsonFormatter.

    process: who logs, such as "room-worker-0", asked for each line.
    """
    handler = logging.StreamHandler(sys.__stdout__)
    handler.setFormatter(JsonFormatter(process))
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(ours)


def console(*, stderr: bool = False, file: TextIO | None = None, width: int | None = None) -> CleanConsole:
    """A rich console. Lines that do not go to a terminal may have any length: piped output is not cut."""
    from deploy.terminal.clean_console import CleanConsole  # noqa: PLC0415  rich is slow to import, and `--help` needs none of it

    made = CleanConsole(stderr=stderr, file=file, width=width, highlight=False)
    if not made.is_terminal and width is None:
        made.width = PIPE_WIDTH
    return made


def tolerate_any_encoding() -> None:
    """Makes stdout and stderr escape what their encoding lacks, such as emoji where LANG is C, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def explain_bugs() -> None:
    """Cleans the traceback of an unexpected error too, in the main thread and in any other."""

    def log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            complain("tidecast: interrupted")
        else:
            complain("".join(traceback.format_exception(kind, error, trace)).rstrip())

    def log_uncaught_of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_of_thread


class CleanFormatter(logging.Formatter):
    """A formatter of log lines and tracebacks that removes control characters, and secrets in URIs.

    One of our messages is one line, whatever it quotes.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class calls it so
        line = super().formatMessage(record)
        return one_line(line) if record.name.startswith(OUR_LOGGERS) else line

    def formatException(self, ei: Any) -> str:  # noqa: N802  the base class calls it so
        return "".join(traceback.format_exception(*ei)).rstrip()  # the base class prints, and Serve replaces print

    def format(self, record: logging.LogRecord) -> str:
        return clean(without_secrets(super().format(record)))


class JsonFormatter(logging.Formatter):
    """A formatter of log lines as JSON: time (RFC 3339, UTC), level, logger, process, message; error, the traceback.

    Secrets in URIs are masked, as in a CleanFormatter's lines.
    """

    def __init__(self, process: Callable[[], str]) -> None:
        super().__init__()
        self._process = process
        self._clean = CleanFormatter()

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process(),
            "message": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = without_secrets(self._clean.formatException(record.exc_info))
        return as_json(line)


def without_secrets(text: str) -> str:
    """The text with the secrets in it masked."""
    from streaming.masked_uri import masked  # noqa: PLC0415  the command looks first whether `streaming` is ours

    return masked(text)

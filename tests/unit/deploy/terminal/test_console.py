"""Nothing that producers wrote does something to a terminal, and nothing is lost."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from deploy import cli
from deploy.terminal.clean_console import CleanConsole
from deploy.terminal.columns import Column, table
from deploy.terminal.console import (
    UNSAFE,
    CleanFormatter,
    as_json,
    clean,
    complain,
    console,
    log_to_stderr,
    one_line,
    say,
    say_json,
)
from streaming.errors import RequestError

ROOT = Path(__file__).resolve().parents[4]
WINDOW_TITLE = "\x1b]0;pwned\x07"
HARMFUL = (
    WINDOW_TITLE,
    "\x9b31m",  # CSI in one character
    "\x1b[2J\x1b[H",
    "a\rb",
    "a\bb",
    "\u202eevil",
    "\u2066isolate",
    "line\u2028separator",
    "\ud83d",  # half an emoji
    "\x7f",
    "\u206e",
)


@pytest.mark.parametrize("text", HARMFUL)
def test_no_control_character_is_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    complain(text)
    say_json({"title": text})
    printed = capsys.readouterr()
    assert not UNSAFE.search(printed.out)
    assert not UNSAFE.search(printed.err)


@pytest.mark.parametrize("text", ["👨‍👩‍👧 family", "می‌خواهم", "क्‍ष", "❤️", "日本語", "\u200fעברית", "tab\there"])
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert clean(text) == text


@given(st.text() | st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0xA0)))
def test_any_text_is_cleaned_once_and_for_all(text: str) -> None:
    cleaned = clean(text)
    assert not UNSAFE.search(cleaned)
    assert clean(cleaned) == cleaned
    assert len(one_line(text).splitlines()) <= 1
    cleaned.encode()  # no half of an emoji is left


@given(st.text())
def test_json_loses_nothing(text: str) -> None:
    printed = as_json({text: [text]})
    assert json.loads(printed) == {text: [text]}
    assert not UNSAFE.search(printed)


def test_console_replaces_what_is_in_a_cell_and_keeps_its_own_colours() -> None:
    out = io.StringIO()
    CleanConsole(file=out, force_terminal=True, width=80).print(Text(f"red {WINDOW_TITLE}", "red"))
    assert "\x1b[31mred" in out.getvalue()
    assert "\x1b]0;" not in out.getvalue()


def test_error_that_quotes_a_title_is_cleaned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        raise RequestError(f"no room {WINDOW_TITLE!s}", field="", allowed="")

    monkeypatch.setattr("deploy.commands.config.run", run)
    assert cli.main(["config"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_log_line_is_cleaned() -> None:
    line = CleanFormatter("%(message)s").format(
        logging.LogRecord("streaming", logging.WARNING, "", 0, "room %s", (WINDOW_TITLE,), None)
    )
    assert line == "room \ufffd]0;pwned\ufffd"


def test_log_line_of_ours_is_one_line_and_a_traceback_keeps_its_lines() -> None:
    formatter = CleanFormatter("%(levelname)s %(message)s")
    forged = "r1\n2026-01-01 INFO all is well\u2028"
    try:
        {}[f"{WINDOW_TITLE} s3://K:wJalrXUtnFEMI@bucket"]
    except KeyError:
        failed = sys.exc_info()
    ours = formatter.format(logging.LogRecord("actors.x", logging.WARNING, "", 0, "room %s", (forged,), None))
    assert len(ours.splitlines()) == 1
    told = formatter.format(logging.LogRecord("actors.x", logging.ERROR, "", 0, "failed", (), failed))
    assert len(told.splitlines()) >= 4
    assert not UNSAFE.search(told)
    assert "wJalrXUtnFEMI" not in told


def test_traceback_in_a_log_is_whole_where_serve_has_replaced_print(monkeypatch: pytest.MonkeyPatch) -> None:
    def redirected(*objects: object, file: TextIO, **_options: object) -> None:
        file.write(f"{objects}")  # as Serve's takes what is printed to a file

    monkeypatch.setattr("builtins.print", redirected)
    try:
        {}["no such room"]
    except KeyError:
        record = logging.LogRecord("deploy.http.api", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    told = CleanFormatter("%(message)s").format(record).splitlines()
    assert told[:2] == ["failed", "Traceback (most recent call last):"]
    assert told[-1] == "KeyError: 'no such room'"


@pytest.mark.parametrize("thread", [False, True])
def test_traceback_of_a_bug_is_cleaned(thread: bool) -> None:
    fails = "raise ValueError('\\x1b]0;x\\x07 s3://K:wJalrXUtnFEMI@bucket')"
    lines = [
        "import threading, deploy.terminal.console",
        "deploy.terminal.console.explain_bugs()",
        f"def run(): {fails}",
        "thread = threading.Thread(target=run); thread.start(); thread.join()" if thread else "run()",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "Traceback" in done.stderr
    assert "ValueError: \ufffd]0;x\ufffd s3://K:********@bucket" in done.stderr
    assert not UNSAFE.search(done.stderr)


def test_thread_that_ends_itself_is_no_bug() -> None:
    code = "import sys, threading, deploy.terminal.console as t; t.explain_bugs()\n"
    code += "threading.Thread(target=sys.exit).start()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""


def test_logging_sets_the_level_of_our_own_loggers() -> None:
    before = {name: logging.getLogger(name).level for name in ("streaming", "kafka")}
    log_to_stderr(logging.DEBUG)
    try:
        assert logging.getLogger("streaming").level == logging.DEBUG
        assert logging.getLogger("kafka").level == before["kafka"]
    finally:
        log_to_stderr(logging.WARNING)


def test_log_lines_reach_stderr_beside_whoever_has_replaced_it() -> None:
    """Logging as in a Serve replica, which keeps what is written to sys.stderr, and has handlers of its own."""
    code = (
        "import io, logging, sys\n"
        "logging.getLogger().addHandler(logging.NullHandler())\n"
        "sys.stderr = io.StringIO()\n"
        "from deploy.terminal.console import log_to_stderr\n"
        "log_to_stderr(logging.INFO, beside_others=True)\n"
        "logging.getLogger('deploy.serve.worker_thread').info('room-worker-0 begins')\n"
        "logging.getLogger('kafka').info('noise')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.splitlines()[0].endswith("INFO deploy.serve.worker_thread room-worker-0 begins")
    assert "noise" not in done.stderr


def test_log_lines_as_json_are_one_object_a_line_on_stdout_without_secrets() -> None:
    code = (
        "import logging\n"
        "from deploy.terminal.console import log_as_json\n"
        "log_as_json(logging.INFO, lambda: 'room-worker-0')\n"
        "log = logging.getLogger('streaming.log.loop')\n"
        "log.debug('noise')\n"
        "log.warning('%s:\\n\\x1b]0;x\\x07 %s', 'g-0', 's3://K:SECRET@bucket')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('it ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["message"] == "g-0:\n\x1b]0;x\x07 s3://K:********@bucket"
    assert not UNSAFE.search(done.stdout)
    wanted = {"level": "WARNING", "logger": "streaming.log.loop", "process": "room-worker-0"}
    assert wanted.items() <= first.items()
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert "ZeroDivisionError" in second["error"]
    assert done.stderr == ""


def test_text_that_the_encoding_lacks_is_escaped_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert cli.main(["config", "--json"]) == 0
    say("日本語")
    narrow.flush()
    assert b"\\u65e5" in narrow.buffer.getvalue()  # type: ignore[attr-defined]


def test_what_is_no_terminal_is_not_cut() -> None:
    out = io.StringIO()
    rows = [("r" * 200, "t" * 300, "c" * 50)]
    where = console(file=out)
    where.print(
        table((Column("room"), Column("title", rank=1, least=8), Column("category", rank=2)), rows, where.width)
    )
    for cell in rows[0]:
        assert cell in out.getvalue()


def test_only_the_door_prints_or_makes_a_console() -> None:
    doors = {
        "deploy/terminal/console.py",
        "deploy/terminal/clean_console.py",
        "deploy/demo/screen.py",
    }  # the screen measures with one
    doors.add("deploy/local/set_up.py")  # runs before any of these can be imported
    found = []
    for package in ("streaming", "actors", "training", "deploy", "tidecast_client"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            found += [
                f"{name}:{call.lineno}"
                for call in calls
                if isinstance(call.func, ast.Name)
                and call.func.id in {"print", "Console", "CleanConsole"}
                and name not in doors
            ]
    assert found == []

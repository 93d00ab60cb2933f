"""What long work says without a terminal."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, cast

import pytest

from deploy.cli import main
from deploy.terminal.plain_progress import PlainProgress, spoken
from deploy.terminal.progress_bars import ArchiveProgress, EvaluateProgress
from deploy.terminal.training_progress import TrainingBar
from streaming.archive.archiver import ArchiverStatus
from streaming.errors import TidecastError
from streaming.recorded.replay import Replay


class FakeTime:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_line_says_part_done_rate_and_time_left() -> None:
    time_s = FakeTime()
    progress = PlainProgress("replay", "rows", 1_000, clock_s=time_s)
    progress.update(200)
    time_s.now_s += 10
    assert progress.line() == "replay: 200 of 1,000 rows (20 %), 20/s, 40 s left, 10 s so far"


def test_rate_is_that_of_the_last_lines_and_not_of_the_whole() -> None:
    time_s = FakeTime()
    progress = PlainProgress("replay", "rows", 100_000, clock_s=time_s)
    for done in (10_000, 20_000, 20_300, 20_600, 20_900):
        time_s.now_s += 30
        progress.update(done)
        line = progress.line()
    assert ", 91/s, " in line, "10,900 rows in the two minutes since the line with 10,000"
    time_s.now_s += 30
    progress.update(21_200)
    assert progress.line() == "replay: 21,200 of 100,000 rows (21 %), 10/s, 2 h 11 min left, 3 min 0 s so far"


def test_part_without_a_count_says_how_long_it_has_taken_and_the_next_counts_from_zero() -> None:
    time_s = FakeTime()
    progress = PlainProgress("evaluate", "messages", 50, clock_s=time_s)
    progress.advance(50)
    progress.stage("learning boosting")
    time_s.now_s += 65
    assert progress.line() == "evaluate: learning boosting: 1 min 5 s so far"
    progress.stage("test", "messages", 10)
    progress.advance(2)
    time_s.now_s += 5
    assert progress.line() == "evaluate: test: 2 of 10 messages (20 %), 0.4/s, 20 s left, 1 min 10 s so far"


def test_work_whose_end_nobody_knows_and_that_stands_still_divides_by_nothing() -> None:
    time_s = FakeTime()
    progress = PlainProgress("archive", "records", clock_s=time_s)
    assert progress.line() == "archive: 0 records, 0/s, 0 s so far"
    progress.update(0, 500, note="7 on the log")
    assert progress.line() == "archive: 0 of 500 records (0 %), 0/s, 7 on the log, 0 s so far"


def test_hundred_percent_is_the_whole() -> None:
    progress = PlainProgress("encoding", "texts", 10_000, clock_s=FakeTime())
    progress.update(9_999)
    assert "(99 %)" in progress.line()


class Heard(io.StringIO):
    """Says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_lines_are_written_while_the_work_itself_says_nothing() -> None:
    heard = Heard()
    with PlainProgress("train", "", to=heard, every_s=0.001):
        assert heard.written.wait(10)
    assert heard.getvalue().startswith("train: 0 s so far\n")


class Closed(Heard):
    """A pipe that nobody reads."""

    def write(self, text: str) -> int:
        self.written.set()
        raise BrokenPipeError


def test_work_goes_on_where_its_lines_cannot_be_written() -> None:
    closed = Closed()
    with PlainProgress("train", "", to=closed, every_s=0.001) as progress:
        assert closed.written.wait(10)
        progress.update(1)


def test_short_work_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with EvaluateProgress() as progress:
        progress.stage("test", "visits", 10_000)
        progress.done(5_000)
    assert capsys.readouterr().err == ""


def test_evaluation_without_a_terminal_says_which_part_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr("sys.stderr", heard)
    progress = EvaluateProgress(every_s=0.001)
    progress.stage("encoding", "texts")
    progress.done(300, 400)
    progress.stage("test", "visits", 10_000)
    progress.done(5_000)
    with progress:
        assert heard.written.wait(10)
    assert "evaluate: test: 5,000 of 10,000 visits (50 %)" in heard.getvalue()


def test_archiving_without_a_terminal_says_how_much_is_read_of_what_there_is() -> None:
    time_s = FakeTime()
    for to_end, says in (
        (True, "300 of 1,000 records read (30 %), 30/s, 23 s left"),
        (False, "300 records read, 30/s"),
    ):
        plain = PlainProgress("archive run", "records read", clock_s=time_s)
        progress = ArchiveProgress(to_end=to_end, plain=plain)
        time_s.now_s += 10
        progress.update(ArchiverStatus(records=200, files=3, waiting=100, lag={"chat": 600, "rooms": 100}))
        assert plain.line().startswith(f"archive run: {says}, 200 archived in 3 files")
        assert ("lag 700" in plain.line()) is not to_end


@dataclass
class Rows:
    """How far a recording is read."""

    rows_played: int
    rows: int


def test_training_without_a_terminal_says_each_stage_at_once_and_then_where_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    time_s = FakeTime()
    plain = PlainProgress("train", "", clock_s=time_s)
    progress = TrainingBar(plain)
    progress.began("loading the encoder")
    assert capsys.readouterr().err == "loading the encoder ...\n"
    time_s.now_s += 40
    assert plain.line() == "train: loading the encoder: 40 s so far"
    progress.passed(5_000, 40, 0)
    assert plain.line().startswith("train: examples: 5,000 records, ")
    progress.encoded(0, 400)
    progress.encoded(100, 400)
    time_s.now_s += 20
    assert plain.line().startswith("train: encoding: 100 of 400 texts (25 %), 5/s, 1 min 0 s left")
    progress.began("starting Ray")
    time_s.now_s += 5
    assert plain.line() == "train: starting Ray: 1 min 5 s so far"
    progress.replay = cast(Replay, Rows(500, 2_000))
    progress.passed(9_000, 70, 0)
    assert plain.line().startswith("train: examples: 500 of 2,000 rows (25 %), ")
    said = {
        "step": 5,
        "steps": 10,
        "phase": "codes",
        "losses": {"next": 0.5},
        "unit": "visits",
        "per_s": 20.0,
        "left_s": 3.0,
    }
    progress.learned(said)
    assert plain.line().startswith("train: learning: 5 of 10 steps (50 %), ")
    assert "codes 5/10: next 0.500; 20 visits/s" in plain.line()


@pytest.mark.parametrize(
    ("command", "slow"),
    [
        ("up", "deploy.local.system.System.start"),
        ("down", "deploy.local.system.System.stop"),
        ("kafka start", "deploy.commands.kafka.LocalKafka.start"),
        ("kafka fetch", "deploy.commands.kafka.find_jars"),
        ("demo", "deploy.demo.demo.Demo.__enter__"),
    ],
)
def test_a_start_or_a_stop_that_takes_long_says_every_now_and_then_what_it_waits_for(
    command: str, slow: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = Heard()

    def waits(*_arguments: object) -> NoReturn:
        assert heard.written.wait(10), "nothing was said"
        raise TidecastError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stderr", heard)
    monkeypatch.setattr(slow, waits)
    often = partial(PlainProgress, every_s=0.001)
    monkeypatch.setattr("deploy.terminal.plain_progress.PlainProgress", often)
    monkeypatch.setattr(f"deploy.commands.{command.split(maxsplit=1)[0]}.PlainProgress", often, raising=False)
    assert main(command.split()) == 2
    assert heard.getvalue().startswith(f"{command}: 0 s so far\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")]
)
def test_durations_are_said_as_one_says_them(seconds: float, words: str) -> None:
    assert spoken(seconds) == words

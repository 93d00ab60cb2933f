"""Tests of the choice of a precision: what is chosen, that a restart keeps it, and what is done where none is kept."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from streaming.errors import EncoderError
from training.content import precision
from training.content.precision import Choice, Measured, best, resolve
from training.settings import EncoderConfig

AUTO = EncoderConfig()
MODEL = "all-minilm-l6-v2"


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is heard, whatever a command that ran in this process before has set about logging."""
    logger = logging.getLogger("training.content.precision")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "level", logging.INFO)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tidecast" / "precision"


def measured(name: str, texts_per_s: float, cosine: float = 1.0, steady: bool = True) -> Measured:
    return Measured(precision=name, texts_per_s=texts_per_s, cosine=cosine, steady=steady)


class Races:
    """Counts how often it measures, and finds another precision each time."""

    def __init__(self) -> None:
        self.run = 0

    def __call__(self) -> Choice:
        self.run += 1
        return best([measured("fp32", 100), measured("bf16", 300 if self.run % 2 else 100)])


def refuse(*_: object) -> None:
    raise OSError("read-only file system")


def chosen(races: Callable[[], Choice], config: EncoderConfig = AUTO, model: str = MODEL) -> Choice:
    return resolve(config, model, ("bf16",), races)


@pytest.mark.parametrize(
    ("other", "found", "why"),
    [
        (measured("bf16", 260, 0.9998), "bf16", "measured: 2.60 x fp32, 260 against 100 texts/s, cosine 0.9998"),
        (measured("bf16", 111), "bf16", "1.11 x fp32"),
        (measured("bf16", 109), "fp32", "bf16 is not clearly faster (1.09 x fp32, 109 against 100 texts/s"),
        (measured("bf16", 50), "fp32", "bf16 is not clearly faster (0.50 x"),
        (measured("bf16", 260, 0.989), "fp32", "bf16 is unlike fp32 (cosine 0.9890)"),
        (measured("bf16", 260, steady=False), "fp32", "bf16 gives a text other bytes in another batch"),
    ],
)
def test_only_what_is_like_fp32_steady_and_clearly_faster_is_chosen(other: Measured, found: str, why: str) -> None:
    choice = best([measured("fp32", 100), other])
    assert choice.precision == found
    assert why in choice.why
    assert choice.measured == (measured("fp32", 100), other)


def test_a_restart_keeps_the_choice_whatever_would_be_measured_then() -> None:
    races = Races()
    first = chosen(races)
    assert (first.precision, races.run) == ("bf16", 1)
    assert chosen(races) == first
    assert races.run == 1


@pytest.mark.parametrize(
    ("config", "model"),
    [(AUTO, "ours@1f0c3a52"), (EncoderConfig(max_tokens=32), MODEL), (EncoderConfig(threads=2), MODEL)],
)
def test_another_model_length_or_thread_count_is_measured_for_itself(config: EncoderConfig, model: str) -> None:
    races = Races()
    chosen(races)
    chosen(races, config, model)
    assert races.run == 2
    assert chosen(races).precision == "bf16"


def test_another_processor_is_measured_for_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    races, cpuinfo = Races(), tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "PROCESSORS", cpuinfo)
    for said, runs in (
        ("model name : A\nflags : fma amx\ncpu MHz : 2000.0\n\nmodel name : A\n", 1),
        ("model name : A\nflags : amx fma\ncpu MHz : 2400.0\n", 1),  # how fast it happens to be now is no difference
        ("model name : A\nflags : fma\n", 2),
        ("model name : B\nflags : fma amx\n", 3),
    ):
        cpuinfo.write_text(said)
        chosen(races)
        assert races.run == runs


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"key": "x"}', b'{"key": "x", "choice": {"precision": "int4", "why": ""}}']
)
def test_a_broken_file_is_said_and_measured_anew(damage: bytes, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    races = Races()
    chosen(races)
    (kept,) = cache.glob("*.json")
    kept.write_bytes(damage)
    assert chosen(races).precision == "fp32"
    assert "precision_file_broken" in caplog.text
    assert chosen(races).precision == "fp32"
    assert races.run == 2


def test_a_file_of_another_machine_is_said_and_measured_anew(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    races = Races()
    chosen(races)
    (own,) = cache.glob("*.json")
    chosen(races, model="other")
    (other,) = set(cache.glob("*.json")) - {own}
    other.replace(own)
    assert chosen(races).precision == "bf16"
    assert races.run == 3
    assert "precision_file_foreign" in caplog.text


def test_where_nothing_can_be_kept_nothing_is_measured_and_the_processor_decides(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file")
    races = Races()
    choices = {chosen(races).precision for _ in range(3)}
    assert (choices, races.run) == ({"bf16"}, 0)
    assert "XDG_CACHE_HOME names another place" in caplog.text
    with pytest.raises(EncoderError, match=r"cannot be kept.*XDG_CACHE_HOME"):
        resolve(AUTO, MODEL, ("bf16",), races, anew=True)


def test_what_is_kept_in_a_folder_that_cannot_be_written_any_more_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    races = Races()
    races.run = 1
    chosen(races)
    monkeypatch.setattr(precision, "make_private", refuse)
    assert (chosen(races).precision, races.run) == ("fp32", 2)
    assert chosen(races, model="other").precision == "bf16"
    assert races.run == 2


def test_what_cannot_be_written_after_all_is_not_obeyed(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(Path, "replace", refuse)
    races = Races()
    races.run = 1  # it would find fp32
    assert chosen(races).precision == "bf16"
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_measurement_that_fails_keeps_nothing_and_is_made_at_the_next_start(cache: Path) -> None:
    def fails() -> Choice:
        raise EncoderError("does not load")

    with pytest.raises(EncoderError, match="does not load"):
        chosen(fails)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert chosen(Races()).precision == "bf16"


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_what_is_set_is_obeyed_and_never_measured(asked: str, cache: Path) -> None:
    races = Races()
    assert chosen(races, EncoderConfig(precision=asked)).precision == asked
    assert races.run == 0
    assert not cache.exists()


def test_a_processor_with_fp32_alone_measures_nothing(cache: Path) -> None:
    races = Races()
    assert resolve(AUTO, MODEL, (), races).precision == "fp32"
    assert races.run == 0
    assert not cache.exists()


def test_measuring_anew_replaces_what_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    races = Races()
    assert chosen(races).precision == "bf16"
    with caplog.at_level(logging.INFO):
        assert resolve(AUTO, MODEL, ("bf16",), races, anew=True).precision == "fp32"
    assert "precision_measured precision=fp32 why=measured: bf16 is not clearly faster" in caplog.text
    assert chosen(races).precision == "fp32"
    assert races.run == 2


def _start(number: int, begin: Event, found: Queue[tuple[str, object]]) -> None:
    def measure() -> Choice:
        found.put(("measured", number))
        begin.wait()  # until all have seen that nothing is kept
        return best([measured("fp32", 100), measured("bf16", 300 if number % 2 else 100)])

    found.put(("chose", chosen(measure).precision))


def test_of_processes_that_start_at_once_one_measures_and_all_choose_the_same() -> None:
    context = multiprocessing.get_context("fork")
    begin, found = context.Event(), context.Queue()
    processes = [context.Process(target=_start, args=(number, begin, found)) for number in range(3)]
    for process in processes:
        process.start()
    said = [found.get(timeout=30)]  # one measures, or it would wait for ever
    begin.set()
    said += [found.get(timeout=30) for _ in range(3)]
    for process in processes:
        process.join()
    assert sorted(what for what, _ in said) == ["chose", "chose", "chose", "measured"]
    assert len({value for what, value in said if what == "chose"}) == 1

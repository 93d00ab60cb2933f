"""Tests of what `tidecast models` and `tidecast rollback` say and do, without a Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import cli
from deploy.terminal import model_registry
from streaming.archive.store import open_store
from streaming.clock import ManualClock
from streaming.errors import VersionError
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS
from tests.unit.training.inference.versions import bundle
from training.content.language_model import name_of
from training.registry.bundle import write


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryLog:
    log = MemoryLog(ManualClock(), {MODELS: 1})
    monkeypatch.setattr(model_registry, "KafkaLog", lambda *_, **__: log)
    monkeypatch.chdir(tmp_path)
    for version in ("one", "two"):
        write(bundle(version), open_store(str(tmp_path / "out")), version)
    return log


def tidecast(*words: str) -> int:
    return cli.main(list(words))


def test_a_version_is_published_put_live_shown_and_rolled_back(
    log: MemoryLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidecast("models", "publish", "out/one", "--live") == 0
    assert "version one is live: put live by hand" in capsys.readouterr().out
    assert tidecast("models", "publish", "out/two") == 0
    assert "version two is a candidate" in capsys.readouterr().out
    assert tidecast("models", "promote", "two", "--json") == 0
    assert json.loads(capsys.readouterr().out)["live"]
    assert tidecast("models", "ls", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["versions"]
    assert [(one["version"], one["state"]) for one in listed] == [("two", "live"), ("one", "before"), ("v0", "before")]
    assert listed[0]["path"] == str(tmp_path / ".tidecast" / "models" / "two")
    assert tidecast("rollback") == 0
    assert capsys.readouterr().out == "one is live again; two is retired\n"
    assert tidecast("models", "rollback", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"was": "one", "live": "v0"}
    assert tidecast("rollback") == 2
    assert "there is nothing to roll back to" in capsys.readouterr().err


def test_ls_and_show_are_for_people_too(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidecast("models", "ls") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["v0", "live", "always"]
    tidecast("models", "publish", "out/one")
    capsys.readouterr()
    assert tidecast("models", "show", "one") == 0
    shown = capsys.readouterr().out
    assert "47 parameters" in shown
    assert "test, 6 dimensions → 4" in shown
    assert "ndcg10" in shown
    assert "lr 0.1, steps 3, tower.width 8" in shown
    assert tidecast("models", "show", "one", "--json") == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["d_model"] == 4


def test_an_encoder_of_a_folder_goes_into_the_registry_with_its_version(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From training.folder/encoders, or from encoder.model; where it is in neither, that is said."""
    made = tmp_path / ".tidecast" / "training" / "encoders" / "ours-1"
    own = tmp_path / "Mine"
    for folder in (made, own):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"model": "{folder.name}"}}')
    monkeypatch.setenv("TIDECAST_ENCODER__MODEL", str(own))
    names = {"tuned": name_of(str(made)), "frozen": name_of(str(own)), "stranger": "other@00000000"}
    for version, name in names.items():
        reads = {"encoder_version": f"{name}/fp32/64"}
        write(bundle(version, **reads), open_store(str(tmp_path / "out")), version)
        assert tidecast("models", "publish", f"out/{version}") == 0
    kept = tmp_path / ".tidecast" / "models" / "encoders"
    assert sorted(path.name for path in kept.iterdir()) == sorted([names["tuned"], names["frozen"]])
    capsys.readouterr()
    assert tidecast("models", "show", "tuned") == 0
    assert "encoder from   the registry, 0.0 MB" in capsys.readouterr().out
    assert tidecast("models", "show", "stranger") == 0
    assert "encoder from   encoder.model, as its files are not in the registry" in capsys.readouterr().out
    assert tidecast("models", "show", "frozen", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["encoder"], shown["encoder_bytes"]) == (f"{names['frozen']}/fp32/64", len('{"model": "Mine"}'))


def test_retire_takes_the_files_too_where_that_is_asked_for(
    log: MemoryLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tidecast("models", "publish", "out/one")
    assert tidecast("models", "retire", "one", "--delete") == 0
    assert capsys.readouterr().out.endswith("version one is retired; its files are deleted\n")
    assert not (tmp_path / ".tidecast" / "models" / "one").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["publish"], "needs a FOLDER"),
        (["show"], "needs a VERSION"),
        (["ls", "one"], "takes no 'one'"),
        (["show", "one", "--live"], "--live is for publish"),
        (["ls", "--delete"], "--delete is for retire"),
        (["publish", "nowhere"], "manifest.json is not there; it is no version"),
        (["show", "nine"], "no version 'nine' was published; known are: v0"),
        (["show", "v0"], "v0 has no files"),
        (["retire", "v0"], "v0 has no files"),
        (["ls", "--uri", "s4://x/y"], "registry.uri is 's4://x/y', which cannot be opened"),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str], says: str, log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidecast("models", *words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_kafka_that_is_not_there_is_said_with_what_to_do(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    log.pause()
    assert tidecast("models", "ls") == 2
    said = capsys.readouterr().err
    assert "no Kafka answers at 127.0.0.1:9092" in said
    assert "`tidecast up`" in said


def test_a_registry_in_a_file_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert tidecast("models", "publish", "out/one", "--uri", str(tmp_path / "file")) == 2
    with pytest.raises(VersionError):
        model_registry.bundle_at(str(tmp_path / "file"))

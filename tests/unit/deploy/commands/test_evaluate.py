"""`tidecast evaluate`, on files as a user has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from deploy import cli
from deploy.commands import evaluate
from deploy.commands.evaluate import EvaluateOptions
from streaming.archive.store import open_store
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from tests.unit.training.recorded.recorded_chat import Said, crowd, write
from tests.untrained import untrained
from training.registry.bundle import write as write_version

SAID = crowd(9, 1000)
QUICK = ("--trees", "5", "--learn-from", "300")


def test_prints_a_table_and_writes_figures_and_rankings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "chat.parquet", SAID, [i // 100 for i in range(len(SAID))])
    chat = ("--train", str(file), "--test", str(file), "--train-windows", "0:6", "--test-windows", "6:10")
    out = ("--json", str(tmp_path / "out.json"), "--rankings", str(tmp_path / "r.parquet"))
    assert cli.main(["evaluate", *chat, *QUICK, *out]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("popularity", "memory + transitions", "boosting", "Recall@10", "Gini"))
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["split"]["test_windows"] == {"first": 6, "end": 10}
    figure = report["results"]["boosting"]["groups"]["all"]["metrics"]["NDCG@10"]
    assert 0 < figure["low"] < figure["mean"] < figure["high"] <= 1
    assert pyarrow.parquet.read_metadata(tmp_path / "r.parquet").num_rows == report["test_visits"]
    assert "boosting + towers" not in report["results"]  # takes long, and is there to be asked for
    rows = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    places = [row["ranked"].index(row["entered"]) + 1 for row in rows]  # nine channels: none is past the first twenty
    gains = [1 / np.log2(1 + place) if place <= 10 else 0.0 for place in places]
    assert np.mean(gains) == pytest.approx(report["results"]["tidecast"]["groups"]["all"]["metrics"]["NDCG@10"]["mean"])


def test_boosting_with_towers_is_measured_beside_both_by_the_time_of_a_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "chat.parquet", SAID, [i // 100 for i in range(len(SAID))])
    chat = ("--train", str(file), "--test", str(file), "--train-windows", "0:6", "--test-windows", "6:10")
    rankers = ("--rankers", "boosting", "tidecast", "boosting + towers", "--json", str(tmp_path / "out.json"))
    assert cli.main(["evaluate", *chat, *QUICK, *rankers]) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert {"dot", "gate", "same_now", "total_visits"} < set(report["learned"]["boosting + towers"])
    assert "request" in capsys.readouterr().out
    for name, alone in (("boosting", False), ("tidecast", True), ("boosting + towers", True)):
        result = report["results"][name]
        assert 0 < result["request_us"] <= result["score_us"]
        assert (result["request_us"] < result["score_us"]) == alone


class FakeEncoder:
    """Stands in for the model, which takes seconds to load."""

    version, dimension = FAKE_VERSION, FAKE_DIMENSION

    def __init__(self, config: object) -> None:
        pass

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return fake_vectors(texts)


def test_content_held_out_streamers_and_differences_are_in_the_table_and_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.content.text_encoder.LazyTextEncoder", FakeEncoder)
    early, late = write(tmp_path / "early.parquet", SAID[:600]), write(tmp_path / "late.parquet", SAID[600:])
    (tmp_path / "channels.csv").write_text("channel,title\nc1,A title\n")
    chat = ("--train", str(early), "--test", str(late), "--cold-streamers", "0.3", "--against", "memory")
    content = ("--content", str(tmp_path / "vectors"), "--channels", str(tmp_path / "channels.csv"))
    assert cli.main(["evaluate", *chat, *content, *QUICK, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("difference to memory", "held out, 10 minutes", "boosting + shuffled"))
    assert list((tmp_path / "vectors").rglob("*.npy"))
    report = json.loads((tmp_path / "out.json").read_text())
    assert "memory" not in {name for name, result in report["results"].items() if result["differences"]}
    assert report["results"]["boosting"]["differences"]["held-out streamers"]["MRR"]
    assert set(report["learned"]["boosting + content"]) > {"like_now", "messages_10s"}
    assert report["split"]["cold_streamers"] == 0.3
    assert report["learned"]["memory + transitions"]["prior"] > 0


def test_a_version_is_ranked_by_its_name_in_the_registry_or_by_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    version = untrained("2026-01-31", [f"c{number}" for number in range(8)], FAKE_VERSION)
    write_version(version, open_store(str(tmp_path / ".tidecast" / "models")), "2026-01-31")
    write_version(version, open_store(str(tmp_path / "out")), "folder")
    early, late = write(tmp_path / "early.parquet", SAID[:600]), write(tmp_path / "late.parquet", SAID[600:700])
    chat = ("--train", str(early), "--test", str(late), *QUICK, "--rankers", "memory", "boosting + towers")
    named = ("--version", "2026-01-31", "--version", "out/folder")
    assert cli.main(["evaluate", *chat, *named, "--json", "out.json"]) == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert results["2026-01-31"]["groups"] == results["out/folder"]["groups"]
    assert results["2026-01-31"]["groups"] != results["memory"]["groups"]
    boosted = {"boosting + 2026-01-31", "boosting + out/folder"}
    assert set(results) == {"memory", "2026-01-31", "out/folder", *boosted}  # none learn where some are given
    assert results["boosting + 2026-01-31"]["groups"] == results["boosting + out/folder"]["groups"]
    towers = json.loads((tmp_path / "out.json").read_text())["towers"]
    assert set(towers) == {"2026-01-31", "out/folder"}
    assert [gates["low"] for gates in towers["2026-01-31"]["gates"]] == [0, 1, 10, 100, 1000]
    assert sum(gates["streamers"] for gates in towers["2026-01-31"]["gates"]) == 8
    assert 0 <= towers["2026-01-31"]["recall"]["32"] <= 1
    printed = capsys.readouterr().out
    assert "mean λ" in printed
    assert "Recall@10 of the towers alone" in printed
    of_towers = ("--rankings-of", "boosting + towers")
    assert "not among the rankers evaluated, boosting + 2026" in refusal(capsys, *chat, *named, *of_towers)
    assert "it has 2026-01-31" in refusal(capsys, *chat, "--version", "2026-02-31")
    assert "no/where/manifest.json is not there" in refusal(capsys, *chat, "--version", "no/where")
    assert "--rankers 'version 0'" in refusal(capsys, *chat, "--version", "v0")
    monkeypatch.setenv("TIDECAST_REGISTRY__URI", str(tmp_path / "empty"))
    assert "which has none" in refusal(capsys, *chat, "--version", "2026-01-31")


def test_rows_that_cannot_be_taken_are_named_or_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.content.text_encoder.LazyTextEncoder", FakeEncoder)
    header = "at_ms,channel,viewer,text\n"
    rows = [f"{round(one.at_s * 1_000)},{one.channel},{one.viewer},x\n" for one in SAID]
    (tmp_path / "good.csv").write_text(header + "".join(rows[:600]))
    (tmp_path / "early.csv").write_text(header + "soon,c1,v1,x\n" + "".join(rows[:600]) + ",c1,v1,x\n" * 2)
    (tmp_path / "late.csv").write_text(header + "".join(rows[600:]) + f"{rows[-1][:13]},,v1,x\n")
    more = ("--rankers", "memory", "boosting + content", "--content", str(tmp_path / "vectors"), *QUICK)
    late = ("--test", str(tmp_path / "late.csv"), *more, "--json", str(tmp_path / "out.json"))
    assert "early.csv: row 1: column at_ms holds soon" in refusal(capsys, "--train", str(tmp_path / "early.csv"), *late)
    figures = []
    for name in ("early.csv", "good.csv"):
        assert cli.main(["evaluate", "--train", str(tmp_path / name), *late, "--skip-bad"]) == 0
        said = capsys.readouterr().err
        assert "late.csv: left out 1 bad: no channel; the first is row 401" in said
        assert ("early.csv: left out 2 bad: no time; the first is row 602: at_ms is empty" in said) == (
            name != "good.csv"
        )
        figures.append(json.loads((tmp_path / "out.json").read_text())["results"]["memory"]["groups"])
    assert figures[0] == figures[1]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["evaluate", *arguments]) == 2
    return capsys.readouterr().err


def test_bad_input_says_what_is_wrong_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early, late = (str(write(tmp_path / f"{name}.parquet", part)) for name, part in
                   (("early", SAID[:400]), ("late", SAID[600:])))  # fmt: skip
    empty = str(write(tmp_path / "empty.parquet", []))
    assert "a test must lie after" in refusal(capsys, "--train", late, "--test", early)
    assert "a test must lie after" in refusal(capsys, "--train", early, "--test", early)
    one_first = str(write(tmp_path / "first.parquet", [Said(SAID[0].at_s - 9_999, "c1", "v1")]))
    assert "--train: no messages" in refusal(capsys, "--train", empty, "--test", late)
    assert "--test: no messages" in refusal(capsys, "--train", early, "--test", empty)
    windows = ("--train", early, "--test", late, "--test-windows", "3:4")
    assert "no column window" in refusal(capsys, *windows)
    outputs = ("--train", early, "--test", late, "--json", str(tmp_path / "no" / "x.json"))
    assert "create it first" in refusal(capsys, *outputs)
    for option in ("--json", "--rankings"):
        assert "a folder; name a file" in refusal(capsys, "--train", early, "--test", late, option, str(tmp_path))
    full = ("--train", early, "--test", late, "--rankers", "newcomers", "--json", "/dev/full")
    assert "--json /dev/full: cannot be written" in refusal(capsys, *full)
    pyarrow.parquet.write_table(pyarrow.table({"at_ms": [1], "text": ["x"]}), tmp_path / "short.parquet")
    assert "no column viewer" in refusal(capsys, "--train", str(tmp_path / "short.parquet"), "--test", late)
    both = ("--train", early, "--test", late)
    assert "--content FOLDER" in refusal(capsys, *both, "--rankers", "boosting + content")
    assert "--against boosting: not among" in refusal(capsys, *both, "--rankers", "memory", "--against", "boosting")
    assert "--rankings-of x: not among" in refusal(capsys, *both, "--rankings-of", "x")
    one = str(write(tmp_path / "one.parquet", [Said(1_800_000_000, "c1", "v1")]))
    assert "one viewer only" in refusal(capsys, "--train", early, "--test", one)
    assert "at least 50 are needed" in refusal(capsys, "--train", one_first, "--test", late, "--rankers", "tidecast")


def test_a_window_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--train", "a.parquet", "--test", "b.parquet", "--test-windows", "5:5"]) == 2
    assert "A below B" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "1", "-0.5", "x", "nan"])
def test_a_share_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str], share: str) -> None:
    assert cli.main(["evaluate", "--train", "a.parquet", "--test", "b.parquet", f"--cold-streamers={share}"]) == 2
    assert "not a share between 0 and 1" in capsys.readouterr().err


def test_several_words_after_an_option_are_all_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[EvaluateOptions] = []
    monkeypatch.setattr(evaluate, "evaluate_recordings", lambda asked, _settings: heard.append(asked) or 0)
    line = "evaluate --train a b --skip-bad --test c --rankers popularity memory --train d --version v --version w"
    assert cli.main(line.split()) == 0
    assert [str(path) for path in heard[0].train] == ["a", "b", "d"]
    assert [str(path) for path in heard[0].test] == ["c"]
    assert heard[0].rankers == ["popularity", "memory"]
    assert heard[0].version == ["v", "w"]
    assert heard[0].skip_bad
    assert cli.main([*line.split(), "stray"]) == 2


def test_rooms_that_sink_are_replayed_by_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDECAST_RECOMMEND__SHOWN_COST", "50")
    monkeypatch.setenv("TIDECAST_RECOMMEND__SHOWN_MOST_COST", "50")
    early, late = write(tmp_path / "early.parquet", SAID[:600]), write(tmp_path / "late.parquet", SAID[600:])
    chat = ("--train", str(early), "--test", str(late), "--against", "version 0", "--json", str(tmp_path / "out.json"))
    assert cli.main(["evaluate", *chat, "--rankers", "version 0", "version 0, sinking"]) == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert results["version 0, sinking"]["groups"] != results["version 0"]["groups"]

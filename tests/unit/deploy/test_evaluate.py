"""`tidecast evaluate`, on files as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from deploy import cli
from tests.unit.training.recorded_chat import Said, crowd, write

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


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["evaluate", *arguments]) == 2
    return capsys.readouterr().err


def test_bad_input_says_what_is_wrong_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early, late = (str(write(tmp_path / f"{name}.parquet", part)) for name, part in
                   (("early", SAID[:400]), ("late", SAID[600:])))  # fmt: skip
    empty = str(write(tmp_path / "empty.parquet", []))
    assert "a test must lie after" in refusal(capsys, "--train", late, "--test", early)
    assert "a test must lie after" in refusal(capsys, "--train", early, "--test", early)
    assert "--train: no messages" in refusal(capsys, "--train", empty, "--test", late)
    assert "--test: no messages" in refusal(capsys, "--train", early, "--test", empty)
    windows = ("--train", early, "--test", late, "--test-windows", "3:4")
    assert "no column window" in refusal(capsys, *windows)
    outputs = ("--train", early, "--test", late, "--json", str(tmp_path / "no" / "x.json"))
    assert "create it first" in refusal(capsys, *outputs)
    pyarrow.parquet.write_table(pyarrow.table({"at_ms": [1], "text": ["x"]}), tmp_path / "short.parquet")
    assert "no column viewer" in refusal(capsys, "--train", str(tmp_path / "short.parquet"), "--test", late)
    one = str(write(tmp_path / "one.parquet", [Said(1_800_000_000, "c1", "v1")]))
    assert "one viewer only" in refusal(capsys, "--train", early, "--test", one)


def test_a_window_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", "--train", "a.parquet", "--test", "b.parquet", "--test-windows", "5:5"])
    assert stopped.value.code == 2
    assert "A below B" in capsys.readouterr().err

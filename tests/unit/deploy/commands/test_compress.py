"""`tidecast compress` from a recording to a folder that reads rooms, and what is refused before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, Qwen2Config, Qwen2ForCausalLM

from deploy.cli import main
from deploy.commands.compress import report_of
from tests.unit.training.recorded.recorded_chat import crowd, write
from training.compression import compressor
from training.content.language_model import folder_of, load
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

WORDS = ["castle", "bishop", "rook", "gambit", "lava", "lamp", "pickaxe", "creeper", "penalty", "corner", "striker"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small language model that wants something before a text; settings come from a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDECAST_TRAINING__FOLDER", str(tmp_path / "training"))
    monkeypatch.setenv("TIDECAST_TRAINING__NICENESS", "0")
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=30_522, **sizes)).save_pretrained(tmp_path / "whole")
    AutoTokenizer.from_pretrained(folder_of("minilm")).save_pretrained(tmp_path / "whole")
    (tmp_path / "whole" / "tidecast.json").write_text('{"prefix": "live: ", "query_prefix": "asked: "}')
    return tmp_path / "whole"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A crowd whose messages are a few words each."""
    path = write(tmp_path / "chat.parquet", crowd(3, num_messages=600))
    table, rng = pa.parquet.read_table(path), np.random.default_rng(3)
    said = [" ".join(rng.choice(WORDS, 5)) for _ in range(len(table))]
    place = table.schema.get_field_index("text")
    pa.parquet.write_table(table.set_column(place, "text", pa.array(said, pa.string())), path)
    return path


def test_a_recording_and_a_model_give_a_smaller_one_that_reads_rooms(
    small: Path, recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressor, "HELD_OUT", 50)
    before = sorted(path.name for path in small.parent.iterdir())
    command = ["compress", str(small), str(recording), "--point", "fast", "--texts", "170", "--dimensions", "12"]
    assert main([*command, "--out", "fast", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (len(said["layers"]), said["units"], said["dimension"], said["texts"]) == (1, 16, 12, 170)
    assert said["folder"] == "fast"
    assert said["name"].startswith("fast@")
    assert said["saved"] == pytest.approx(1 - said["parameters"] / said["parameters_before"])
    assert [stage["stage"] for stage in said["stages"]][-1] == "distilled again"
    model = load("fast", torch.float32, "cpu")[1]
    assert (model.config.num_hidden_layers, model.config.intermediate_size) == (1, 16)
    encoder = TextEncoder(EncoderConfig(model="fast"))
    assert encoder.encode(["castle", "lava lamp"]).shape == (2, 12)
    assert (encoder.as_passage("gg"), encoder.as_query("gg")) == ("live: gg", "asked: gg")
    assert sorted(path.name for path in small.parent.iterdir()) == sorted([*before, "fast", "training"])
    assert list((small.parent / "training" / "vectors").iterdir()), "the teacher's vectors are kept"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layers", "4"], "4 layers are to be kept, and the language model has 3"),
        (["--feed-forward", "33"], "33 feed-forward units a layer"),
        (["--dimensions", "17"], "17 dimensions are to be kept"),
        (["--layers", "3", "--feed-forward", "32"], "nothing to compress"),
        (["--rate", "0"], "rate"),
        (["--layers", "2"], "at least 1088 are needed: give more chat, or a greater training.share"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(
    small: Path, recording: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", str(small), str(recording), "--out", "made", *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(small.parent.glob("made*"))


def test_a_folder_that_is_there_and_chat_that_is_not_are_said_at_once(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", "minilm", "chat.parquet", "--out", str(small)]) == 2
    assert "whole: is there already; give another folder" in capsys.readouterr().err
    assert main(["compress", "minilm", "--out", "made"]) == 2
    assert "give a FILE of chat, or set archive.uri" in capsys.readouterr().err
    assert main(["compress", "minilm", "nowhere.parquet", "--out", "made"]) == 2
    assert "nowhere.parquet" in capsys.readouterr().err


def test_a_causal_model_is_refused(small: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=100, num_key_value_heads=2, **sizes)).save_pretrained("causal")
    AutoTokenizer.from_pretrained(small).save_pretrained("causal")
    assert main(["compress", "causal", str(recording), "--out", "made"]) == 2
    assert '"causal" is a causal language model; only encoders are compressed' in capsys.readouterr().err


def test_the_report_names_stages_layers_and_the_folder() -> None:
    stages = [
        {"stage": stage, "parameters": 18_000_000, "cosine": 0.91234, "overlap": 0.7149}
        for stage in ("layers dropped", "distilled")
    ]
    sizes = {"layers": (0, 3, 5), "units": 1_152, "dimension": 384, "saved": 0.2084, "folder": "out/small"}
    said = report_of({"stages": stages, **sizes}).splitlines()
    assert said[0] == "layers dropped       18.0 M parameters, cosine 0.912, of the 10 nearest 71% the same"
    assert said[2] == "kept: layers 1, 4, 6, 1,152 feed-forward units in each, 384 dimensions; 20.8% fewer parameters"
    assert said[3] == "it is in out/small: set encoder.model to it (the same files on every host)"

"""`tidecast train --encoder full` as a process that is killed: it goes on, to the encoder of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.torch
import torch

from tests.unit.training.recorded.recorded_chat import crowd, write
from training.content.language_model import find, load
from training.content.text_encoder import TextEncoder, uses_bf16
from training.fine_tuning.encoder_learner import EncoderLearner
from training.fine_tuning.encoder_run import encoder_plan
from training.fine_tuning.text_pairs import TextPairs
from training.settings import EncoderConfig

PATIENCE_S = 240.0
MAX_TOKENS = 16  # a third of the time that a step takes with 64
WORDS = ["castle bishop rook gambit opening", "lava lamp pickaxe creeper", "penalty corner striker keeper"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A crowd whose channels talk of three things."""
    path = write(tmp_path / "chat.parquet", crowd(3, num_messages=2_000))
    table, rng = pa.parquet.read_table(path), np.random.default_rng(3)
    topics = [WORDS[int(channel[1:]) % len(WORDS)].split() for channel in table["channel"].to_pylist()]
    said = [" ".join(rng.choice(topic, 5)) for topic in topics]
    place = table.schema.get_field_index("text")
    pa.parquet.write_table(table.set_column(place, "text", pa.array(said, pa.string())), path)
    titles = [
        f"{name},{WORDS[int(name[1:]) % len(WORDS)]} {name},Topic,en" for name in set(table["channel"].to_pylist())
    ]
    (tmp_path / "channels.csv").write_text("\n".join(["channel,title,category,language", *titles]))
    return path


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deploy.cli", "train", "chat.parquet", "--channels", "channels.csv"]
    command += ["--encoder", "full", "--json", *options]
    settings = {"WORKERS": "0", "PAIRS": "280", "CHECKPOINT_S": "0.2", "FOLDER": str(folder / "training")}
    settings["TITLE_WEIGHT"] = "0.5"
    settings |= {"TOWERS_EPOCHS": "1", "EPOCHS": "1", "RANKER_EPOCHS": "0"}
    with (folder / "said").open("ab") as said, (folder / "result").open("wb") as result:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "OMP_NUM_THREADS": "1",
                "TIDECAST_ENCODER__MAX_TOKENS": str(MAX_TOKENS),
                **{f"TIDECAST_TRAINING__{name}": value for name, value in settings.items()},
            },
            stdout=result,
            stderr=said,
        )


def undisturbed(run: Path) -> dict[str, torch.Tensor]:
    """What the run's plan and pairs give without a stop."""
    torch.set_num_threads(1)
    plan, pairs = encoder_plan(run), TextPairs.load(run)
    tokenizer, model, _ = load(find(plan.encoder).location, torch.float32, "cpu")
    tokens = tokenizer(list(pairs.texts), truncation=True, max_length=plan.encoder.max_tokens - 1)["input_ids"]
    titles = [tokenizer(title, add_special_tokens=False)["input_ids"] for title in pairs.titles]
    bf16 = uses_bf16(plan.encoder.precision, "cpu")
    learner = EncoderLearner(model, tokens, pairs, plan.learn, titles=titles, bf16=bf16)
    assert learner.steps > 3
    assert all("title" in step.losses for step in learner.run())
    return dict(model.state_dict())


def test_fine_tuning_that_was_killed_goes_on_to_the_same_encoder_and_the_version_names_it(
    recording: Path, tmp_path: Path
) -> None:
    folder = recording.parent
    training, out = folder / "training", folder / "version"
    process = start(folder, "--out", str(out))
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not list(training.glob("checkpoints/encoder-*/state.pt")):
            assert process.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < deadline, "no checkpoint"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not list(training.glob("encoders/*")), "it had learned all before it could be killed"
        examples = (training / "run" / "examples" / "index.json").stat().st_mtime_ns
        process = start(folder, "--out", str(out), "--resume")
        assert process.wait(PATIENCE_S) == 0, (folder / "said").read_text()
    finally:
        process.kill()
        process.wait()
    assert (training / "run" / "examples" / "index.json").stat().st_mtime_ns == examples, "it began anew"
    (made,) = training.glob("encoders/*")
    learned = safetensors.torch.load_file(made / "model.safetensors")
    expected = undisturbed(training / "run" / "encoder")
    assert all(torch.equal(value, expected[name]) for name, value in learned.items())
    frozen = load(find(EncoderConfig()).location, torch.float32, "cpu")[1].state_dict()
    changed = {name for name, value in learned.items() if not torch.equal(value, frozen[name])}
    assert changed
    assert all(name.startswith(("encoder.layer.4", "encoder.layer.5")) for name in changed)
    encoder = TextEncoder(EncoderConfig(model=str(made), max_tokens=MAX_TOKENS))
    assert encoder.version.startswith(f"{made.name}@")
    assert json.loads((out / "manifest.json").read_bytes())["encoder_version"] == encoder.version
    assert json.loads((folder / "result").read_bytes())["encoder"] == str(made)

"""A folder of a model that was fine-tuned: it is read as it was learned, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from streaming.errors import TrainingError
from training.content.language_model import OWN_SETTINGS, OwnSettings, find, folder_of, load
from training.fine_tuning.model_folder import write_model
from training.settings import EncoderConfig


@pytest.fixture
def causal(tmp_path: Path) -> Path:
    """A causal language model as its makers publish one."""
    config = Qwen2Config(
        vocab_size=31_000,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=16,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "causal")
    AutoTokenizer.from_pretrained(folder_of("minilm")).save_pretrained(tmp_path / "causal")
    return tmp_path / "causal"


def test_a_causal_model_is_read_by_its_last_token_after_it_was_fine_tuned_too(causal: Path, tmp_path: Path) -> None:
    tokenizer, model, last_token = load(str(causal), torch.float32, "cpu")
    assert last_token
    place = write_model(model, tokenizer, OwnSettings("passage: ", "query: ", last_token), tmp_path / "tuned")
    assert load(str(place), torch.float32, "cpu")[2]
    found = find(EncoderConfig(model=str(place)))
    assert (found.prefix, found.query_prefix) == ("passage: ", "query: ")
    assert find(EncoderConfig(model=str(place), prefix="passage: ")).name == found.name
    (place / OWN_SETTINGS).write_bytes(b"{}")
    assert find(EncoderConfig(model=str(place))).name != found.name


def test_what_cannot_be_written_is_said_and_leaves_nothing(causal: Path, tmp_path: Path) -> None:
    tokenizer, model, _ = load(str(causal), torch.float32, "cpu")
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        write_model(model, tokenizer, OwnSettings(), tmp_path / "file" / "tuned")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["causal", "file"]

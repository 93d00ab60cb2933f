"""Tests of the race of precisions: whose time counts, what is unsteady or unlike, and one real model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertModel, BertTokenizerFast

from training.content import text_encoder
from training.content.precision import Computed, Measured, best
from training.content.precision_race import BATCH, LEAST_ROUNDS, race
from training.content.text_encoder import LazyTextEncoder, TextEncoder, measure_precision
from training.settings import EncoderConfig


class Machine:
    """Both clocks. Others' work makes the wall clock go faster than the processor's, by `busy` in turn."""

    def __init__(self, busy: Sequence[float] = (1.0,)) -> None:
        self.wall_s = self.spent_s = 0.0
        self._busy, self._turn = busy, 0

    def work(self, seconds: float) -> None:
        self.spent_s += seconds
        self.wall_s += seconds * self._busy[self._turn % len(self._busy)]
        self._turn += 1


class Fake:
    """Vectors by a text's bytes. off: how far from fp32's. unsteady: they depend on how many texts come together."""

    def __init__(
        self,
        machine: Machine,
        costs_s: Sequence[float],
        off: float = 0.0,
        *,
        unsteady: bool = False,
        blank: bool = False,
    ) -> None:
        self._machine, self._costs_s, self._off = machine, costs_s, off
        self._unsteady, self._blank = unsteady, blank
        self.timed: list[tuple[str, ...]] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        if texts[0].startswith("round"):
            self._machine.work(self._costs_s[len(self.timed) % len(self._costs_s)])
            self.timed.append(tuple(texts))
        if self._blank:
            return np.full((len(texts), 8), np.nan, np.float16)
        vectors_ND = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
        vectors_ND[:, 0] += self._off + (0.01 * len(texts) if self._unsteady else 0.0)
        return (vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)).astype(np.float16)


def raced(machine: Machine, fp32: Fake, bf16: Fake, seconds: float = 3.0) -> list[Measured]:
    found = race(
        {"bf16": bf16, "fp32": fp32},
        seconds=seconds,
        clock_s=lambda: machine.wall_s,
        spent_s=lambda: machine.spent_s,
    )
    assert [one.precision for one in found] == ["fp32", "bf16"]
    return found


def test_they_take_turns_until_the_time_is_over_and_no_text_is_timed_twice() -> None:
    machine = Machine()
    fp32, bf16 = Fake(machine, [0.2]), Fake(machine, [0.1])
    found = raced(machine, fp32, bf16)
    assert [round(one.texts_per_s) for one in found] == [BATCH * 5, BATCH * 10]
    assert len(fp32.timed) == len(bf16.timed) == 10
    assert len({text for batch in fp32.timed for text in batch}) == 10 * BATCH


def test_a_slow_model_has_a_few_rounds_all_the_same() -> None:
    machine = Machine()
    fp32 = Fake(machine, [60.0])
    raced(machine, fp32, Fake(machine, [60.0]))
    assert len(fp32.timed) == LEAST_ROUNDS


def test_what_else_the_machine_does_decides_nothing() -> None:
    machine = Machine(busy=(1.0, 9.0))  # always while bf16 works
    found = raced(machine, Fake(machine, [0.2, 0.2]), Fake(machine, [0.5, 0.1]))  # and its caches are cold at times
    assert [round(one.texts_per_s) for one in found] == [BATCH * 5, BATCH * 10]
    assert best(found).precision == "bf16"


@pytest.mark.parametrize(
    ("bf16", "why"),
    [
        ({"unsteady": True}, "gives a text other bytes in another batch"),
        ({"off": 3.0}, "is unlike fp32"),
        ({"blank": True}, "gives a text other bytes"),
    ],
)
def test_a_faster_one_that_is_unsteady_or_unlike_is_refused(bf16: dict[str, Any], why: str) -> None:
    machine = Machine()
    choice = best(raced(machine, Fake(machine, [0.2]), Fake(machine, [0.1], **bf16)))
    assert choice.precision == "fp32"
    assert why in choice.why


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two small layers with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"])
    )
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    BertModel(
        BertConfig(vocab_size=31, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    ).save_pretrained(folder)
    return folder


def test_a_real_model_is_measured_once_and_all_encoders_of_the_host_name_what_was_chosen(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(text_encoder, "uses_bf16", lambda precision, _device: precision in ("auto", "bf16"))
    races = []

    def short(contenders: dict[Computed, TextEncoder]) -> list[Measured]:
        races.append({name: encoder.version.split("/")[1] for name, encoder in contenders.items()})
        return race(contenders, seconds=0.0)

    monkeypatch.setattr(text_encoder, "race", short)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    config = EncoderConfig(model=str(tiny), max_tokens=16)
    lazy = LazyTextEncoder(config)
    assert races == [{"fp32": "fp32", "bf16": "bf16"}]
    assert torch.get_num_threads() == 2
    encoder = TextEncoder(config)
    torch.set_num_threads(threads)
    assert encoder.version == lazy.version
    assert encoder.version.split("/")[1] == encoder.choice.precision
    assert len(races) == 1
    for one in encoder.choice.measured:
        assert one.texts_per_s > 0
        assert one.cosine > 0.99
    assert measure_precision(config).measured
    assert len(races) == 2

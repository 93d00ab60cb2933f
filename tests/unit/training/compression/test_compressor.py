"""A student is smaller and comes near its teacher again; the same seed gives the same bits; what cannot be is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streaming.errors import ConfigError, TrainingError
from tests.unit.training.compression.small_models import HIDDEN, UNITS, read_by, small_model, taught_by
from training.compression import compressor
from training.compression.compressor import Compressed, compress
from training.compression.distiller import DistillConfig
from training.compression.structure import Size, size_of
from training.fine_tuning.text_vectors import TextVectors

TEXTS = 400
CONFIG = DistillConfig(epochs=4, batch=32, rate=2e-3)
HALF = Size(2, UNITS // 2)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressor, "HELD_OUT", 100)
    monkeypatch.setattr(compressor, "MEASURED", 100)


def compressed(
    size: Size = HALF, config: DistillConfig = CONFIG, dimensions: int | None = None
) -> tuple[TextVectors, Compressed]:
    student = read_by(small_model(), TEXTS)
    return student, compress(student, taught_by(small_model(), TEXTS), size, config, dimensions=dimensions)


def test_a_student_is_of_the_size_and_nearer_to_the_teacher_than_by_pruning_alone() -> None:
    student, done = compressed()
    assert size_of(student.model) == HALF
    stages = {stage.stage: stage for stage in done.stages}
    assert list(stages) == ["layers dropped", "distilled", "units dropped", "distilled again"]
    for pruned, distilled in (("layers dropped", "distilled"), ("units dropped", "distilled again")):
        assert stages[distilled].cosine > stages[pruned].cosine + 0.02
    assert stages["distilled again"].overlap > stages["units dropped"].overlap + 0.02
    sizes = [stage.parameters for stage in done.stages]
    assert done.parameters_before > sizes[0] == sizes[1] > sizes[2] == sizes[3] == done.parameters
    assert len(done.layers) == 2


def test_the_same_seed_gives_the_same_bits_and_another_others() -> None:
    one, other, third = (
        compressed(config=DistillConfig(epochs=1, batch=32, seed=seed))[0].model.state_dict() for seed in (7, 7, 8)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert any(not torch.equal(value, third[name]) for name, value in one.items())


def test_held_out_texts_are_not_learned_from() -> None:
    one, other = read_by(small_model(), TEXTS), read_by(small_model(), TEXTS)
    teacher_ND = taught_by(small_model(), TEXTS)
    config = DistillConfig(epochs=1, batch=32)
    first = compress(one, teacher_ND, HALF, config)
    teacher_ND[-100:] = -teacher_ND[-100:]
    second = compress(other, teacher_ND, HALF, config)
    states = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert second.stages[-1].cosine == pytest.approx(-first.stages[-1].cosine, abs=1e-6)


def test_the_first_dimensions_learn_to_do_without_the_others() -> None:
    """Their neighbours are the whole vectors' more often than those of the teacher's own first dimensions are."""
    _, done = compressed(Size(4, UNITS), DistillConfig(epochs=8, batch=32, rate=2e-3), dimensions=8)
    assert [stage.stage for stage in done.stages] == ["distilled"]
    teacher_TD = torch.from_numpy(taught_by(small_model(), TEXTS)[-100:].astype(np.float32))
    nearest = [
        (vectors @ vectors.T).fill_diagonal_(-9).topk(10).indices.tolist()
        for vectors in (torch.nn.functional.normalize(teacher_TD[:, :8]), teacher_TD)
    ]
    cut = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(*nearest, strict=True)])
    assert done.stages[0].overlap > cut + 0.03


@pytest.mark.parametrize(
    ("size", "stages"),
    [
        (Size(3, UNITS), ["layers dropped", "distilled"]),
        (Size(4, 30), ["units dropped", "distilled"]),
    ],
)
def test_what_is_not_pruned_needs_no_stage(size: Size, stages: list[str]) -> None:
    student, done = compressed(size, DistillConfig(epochs=1, batch=32))
    assert [stage.stage for stage in done.stages] == stages
    assert size_of(student.model) == size


@pytest.mark.parametrize(
    ("size", "dimensions", "said"),
    [
        (Size(5, 1), None, "5 layers are to be kept, and the language model has 4"),
        (Size(1, UNITS + 1), None, f"{UNITS + 1} feed-forward units a layer are to be kept"),
        (Size(1, 1), HIDDEN + 1, f"{HIDDEN + 1} dimensions are to be kept, and the language model has {HIDDEN}"),
        (Size(4, UNITS), None, "nothing to compress: the language model has 4 layers"),
        (Size(4, UNITS), HIDDEN, "nothing to compress"),
    ],
)
def test_what_cannot_be_is_said_before_anything_changes(size: Size, dimensions: int | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compressed(size, dimensions=dimensions)


def test_too_few_texts_are_refused() -> None:
    student = read_by(small_model(), 231)
    with pytest.raises(TrainingError, match=r"231 texts .* at least 232"):
        compress(student, taught_by(small_model(), 231), HALF, CONFIG)
    assert size_of(student.model) == Size(4, UNITS)

"""What the losses of distillation are, and what learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from streaming.errors import Diverged
from tests.unit.training.compression.small_models import HIDDEN, read_by, small_model, taught_by
from training.compression.distiller import DistillConfig, Distiller

CONFIG = DistillConfig(epochs=1, batch=16, rate=1e-3)


def distiller(config: DistillConfig = CONFIG, **options: int) -> Distiller:
    return Distiller(read_by(small_model(), 64), np.zeros((64, HIDDEN), np.float16), config, **options)


def random_vectors(seed: int, count: int = 8, dimension: int = HIDDEN) -> Tensor:
    return normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_equal_vectors_cost_nothing_and_turned_ones_keep_their_order() -> None:
    teacher_BD = random_vectors(1)
    same = distiller().losses(teacher_BD, teacher_BD)
    turned = distiller().losses(teacher_BD @ torch.linalg.qr(random_vectors(2, HIDDEN)).Q, teacher_BD)
    assert set(same) == {"vectors", "order"}
    assert float(same["vectors"]) == pytest.approx(0, abs=1e-6)
    assert float(same["order"]) == pytest.approx(0, abs=1e-6)
    assert float(turned["order"]) == pytest.approx(0, abs=1e-4)
    assert float(turned["vectors"]) > 0.5


def test_the_order_loss_is_the_divergence_from_the_teachers_neighbours() -> None:
    """By hand: of three texts, each has two others."""
    student_BD, teacher_BD = random_vectors(1, 3), random_vectors(2, 3)
    expected = 0.0
    for own in range(3):
        others = [place for place in range(3) if place != own]
        teacher, student = (
            torch.softmax(vectors[others] @ vectors[own] / CONFIG.temperature, 0)
            for vectors in (teacher_BD, student_BD)
        )
        expected += float((teacher * (teacher / student).log()).sum()) / 3
    assert float(distiller().losses(student_BD, teacher_BD)["order"]) == pytest.approx(expected, rel=1e-4)


def test_the_first_dimensions_are_held_to_the_order_by_all() -> None:
    teacher_BD = random_vectors(1)
    student_BD = teacher_BD.clone()
    student_BD[:, :8] = random_vectors(3, dimension=8)
    cut = distiller(dimensions=8).losses(student_BD, teacher_BD)["first"]
    alone = distiller().losses(normalize(student_BD[:, :8]), teacher_BD[:, :8])  # the teacher's first know other ones
    whole = distiller().losses(torch.cat([student_BD[:, :8], torch.zeros(8, HIDDEN - 8)], 1), teacher_BD)["order"]
    assert float(cut) == pytest.approx(float(whole), rel=1e-4)
    assert float(cut) != pytest.approx(float(alone["order"]), rel=1e-2)


def test_of_a_teacher_that_kept_its_first_dimensions_these_are_learned() -> None:
    student_BD = random_vectors(1)
    losses = distiller().losses(student_BD, normalize(student_BD[:, :8]))
    assert float(losses["vectors"]) == pytest.approx(0, abs=1e-6)


def test_the_layers_learn_and_the_words_do_not() -> None:
    student = read_by(small_model(), 64)
    before = copy.deepcopy(student.model.state_dict())
    steps = list(Distiller(student, taught_by(small_model(seed=5), 64), CONFIG).run())
    assert [step.step for step in steps] == [1, 2, 3, 4]
    changed = {name for name, value in student.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[2] for name in changed} == {"0", "1", "2", "3"}
    assert all(name.startswith("encoder.layer.") for name in changed)


def test_how_much_the_order_counts_is_a_setting_and_without_it_vectors_alone_are_learned() -> None:
    ended = []
    for order in (0.0, 10.0):
        student = read_by(small_model(), 64)
        steps = Distiller(student, taught_by(small_model(seed=5), 64), DistillConfig(epochs=8, batch=16, order=order))
        ended.append(list(steps.run())[-1].losses)
    assert ended[0]["vectors"] < ended[1]["vectors"]
    assert ended[0]["order"] > ended[1]["order"]


def test_a_loss_that_is_no_number_changes_nothing() -> None:
    student = read_by(small_model(), 64)
    before = copy.deepcopy(student.model.state_dict())
    with pytest.raises(Diverged, match="step 1 "):
        list(Distiller(student, np.full((64, HIDDEN), np.nan, np.float16), CONFIG).run())
    assert all(torch.equal(value, before[name]) for name, value in student.model.state_dict().items())

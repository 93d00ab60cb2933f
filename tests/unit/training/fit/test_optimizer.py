"""Tests of AdamW. torch's own class says what is right."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from streaming.errors import TrainingError
from training.fit.optimizer import AdamW


def model() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))


def loss(of: torch.nn.Sequential, step: int) -> Tensor:
    """From step 5 to 9 the second layer has no gradient."""
    of[2].requires_grad_(not 5 <= step < 10)
    return (of(torch.linspace(-1, 1, 40).reshape(8, 5)) ** 2).mean()


def test_steps_are_those_of_torch_to_the_bit_also_after_a_restart() -> None:
    ours, theirs = model(), model()
    optimizer = AdamW(ours.parameters(), 0.01)
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.01)
    for step in range(20):
        rate = 1e-2 * (step + 1)
        if step == 7:
            kept = optimizer
            optimizer = AdamW(ours.parameters(), 0.01)
            optimizer.restore(kept.state())
        optimizer.forget_gradients()
        loss(ours, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step(rate)
        reference.zero_grad()
        reference.param_groups[0]["lr"] = rate
        loss(theirs, step).backward()  # type: ignore[no-untyped-call]
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_state_is_copied() -> None:
    net = model()
    optimizer, other = AdamW(net.parameters(), 0.0), AdamW(net.parameters(), 0.0)
    loss(net, 0).backward()  # type: ignore[no-untyped-call]
    optimizer.step(0.1)
    other.restore(optimizer.state())
    other.step(0.1)
    assert [float(one["step"]) for one in optimizer.state().values()] == [1.0] * 4


def test_state_of_something_else_is_refused() -> None:
    """The first is that of torch's class, which was kept before."""
    optimizer = AdamW(model().parameters(), 0.0)
    states: list[Any] = [{"state": {}, "param_groups": []}, {4: {"step": torch.zeros(())}}]
    for state in states:
        with pytest.raises(TrainingError, match="begin a new run"):
            optimizer.restore(state)


def test_learning_does_not_import_torchs_compiler() -> None:
    steps = (
        "import sys, torch; from training.fit import learner as learn; from training.fit.optimizer import AdamW;"
        "p = torch.nn.Parameter(torch.ones(3)); a = AdamW([p], 0.01); (p ** 2).sum().backward();"
        "torch.nn.utils.clip_grad_norm_([p], 5.0); a.step(0.1); a.forget_gradients();"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", steps], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

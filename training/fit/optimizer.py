"""The optimizer AdamW (Loshchilov and Hutter, arXiv 1711.05101). Never computes a gradient.

The arithmetic is torch's own function. Its class would do as well, but constructing one imports torch's compiler, which
takes two seconds of processor time and is never used here: a third of a small run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from streaming.errors import TrainingError

BETAS = (0.9, 0.999)
EPS = 1e-8


class AdamW:
    """AdamW over the parameters that have a gradient at a step; a parameter's moments begin with its first gradient."""

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self._state: dict[int, dict[str, Tensor]] = {}  # by place: step, mean, square

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves the parameters against their gradients, as a rule by at most `rate` in each coordinate."""
        moved = [place for place, one in enumerate(self._parameters) if one.grad is not None]
        for place in moved:
            if place not in self._state:
                self._state[place] = _fresh(self._parameters[place])
        states = [self._state[place] for place in moved]
        adamw(
            [self._parameters[place] for place in moved],
            [grad for place in moved if (grad := self._parameters[place].grad) is not None],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=self._decay,
            eps=EPS,
            maximize=False,
        )

    def forget_gradients(self) -> None:
        """Clears the gradients before the next step."""
        for one in self._parameters:
            one.grad = None

    def state(self) -> dict[int, dict[str, Tensor]]:
        """The state that the next step needs, by each parameter's place."""
        return self._state

    def restore(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Continues from a state of the same parameters, copied to their devices.

        Raises TrainingError: it is of other parameters, or of a build with another form of state.
        """
        if not all(place in range(len(self._parameters)) for place in state):
            raise TrainingError("the checkpoint's optimizer is not of this model; begin a new run")
        self._state = {
            place: {
                name: value.clone() if name == "step" else value.to(self._parameters[place].device, copy=True)
                for name, value in one.items()
            }
            for place, one in state.items()
        }


def _fresh(parameter: Tensor) -> dict[str, Tensor]:
    return {
        "step": torch.zeros(()),
        "mean": torch.zeros_like(parameter),
        "square": torch.zeros_like(parameter),
    }


def warmed_up(step: int, steps: int, warm_up: float) -> float:
    """The share of the full rate at a step: it rises in the first `warm_up` of the steps, then falls to nothing."""
    done = step / steps
    return min(1.0, (step + 1) / (warm_up * steps)) if done < warm_up else (1 - done) / max(1 - warm_up, 1e-9)

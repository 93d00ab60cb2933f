"""Loss curves of a run for TensorBoard. Never learns."""

from __future__ import annotations

from pathlib import Path

from training.fit.learner import LearnStep


class Curves:
    """A writer of losses for TensorBoard; look at them with `tensorboard --logdir` and the folder."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter  # noqa: PLC0415  Ray Train brings it

        self._writer = SummaryWriter(str(folder))

    def add(self, step: LearnStep) -> None:
        """Writes the losses of a step."""
        for name, loss in step.losses.items():
            self._writer.add_scalar(f"{step.phase}/{name}", loss, step.step)

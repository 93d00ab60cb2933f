"""Several processes that train one model, by torch.distributed as Ray Train has set it up. Never learns or stores."""

from __future__ import annotations

import torch
import torch.distributed
from torch import nn


class Distributed:
    """A `ProcessGroup` (training/fit/learner.py) by torch.distributed."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def average_gradients(self, model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self._processes

    def broadcast(self, model: nn.Module) -> None:
        for value in model.state_dict().values():
            torch.distributed.broadcast(value, 0)

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers. Blocks until all have called."""
        result = torch.tensor([number])
        torch.distributed.all_reduce(result, torch.distributed.ReduceOp.MAX)
        return int(result.item())

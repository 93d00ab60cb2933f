"""The recurrence h_t = λ h_{t-1} + x_t over complex sequences, with its gradient. Never makes λ or x."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def recur(lambda_D: Tensor, x_BTD: Tensor) -> Tensor:
    """The states of all steps, complex64 [B, T, D], starting from zero. Differentiable in both arguments.

    One fused multiply-add a step, forward and back. On a CPU that is less work than a scan in log T passes over memory
    and keeps nothing but the states; numbers are those of the cached step, in the same order.
    """
    states: Tensor = _Recurrence.apply(lambda_D, x_BTD)
    return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lambda_D: Tensor, x_BTD: Tensor) -> Tensor:
        x_TBD = x_BTD.transpose(0, 1).contiguous()
        state_TBD = torch.empty_like(x_TBD)
        state_TBD[:1] = x_TBD[:1]
        for t in range(1, len(x_TBD)):
            torch.addcmul(x_TBD[t], lambda_D, state_TBD[t - 1], out=state_TBD[t])
        ctx.save_for_backward(lambda_D, state_TBD)
        return state_TBD.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        lambda_D, state_TBD = ctx.saved_tensors
        grad_TBD = grads[0].transpose(0, 1).clone(memory_format=torch.contiguous_format)
        back_D = lambda_D.conj().resolve_conj()
        for t in range(len(grad_TBD) - 2, -1, -1):
            grad_TBD[t].addcmul_(back_D, grad_TBD[t + 1])
        grad_D = (grad_TBD[1:] * state_TBD[:-1].conj()).sum((0, 1))
        return grad_D, grad_TBD.transpose(0, 1)

"""Owns cross entropy over a whole catalogue of items, in slices. Never samples: for lists of candidates see losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512  # whose logits over some thousand items stay in a processor's cache between the passes over them


def catalogue_softmax(query_ND: Tensor, item_CD: Tensor, target_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Scalar: mean cross entropy of target_N (int64) among all C items, by inner product.

    Gradients are made in the forward pass, a slice of rows at a time, so that no [N, C] array ever exists. smoothing:
    the share of a target's mass that is spread evenly over the catalogue. Under autocast products are in its precision.
    """
    loss: Tensor = _Catalogue.apply(query_ND, item_CD, target_N, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _Catalogue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_ND: Tensor, item_CD: Tensor, target_N: Tensor, smoothing: float) -> Tensor:
        device = query_ND.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else item_CD.dtype
        query_grad_ND = torch.empty_like(query_ND, dtype=torch.float32)
        item_grad_CD = torch.zeros_like(item_CD, dtype=torch.float32)
        total = torch.zeros((), device=query_ND.device)
        with torch.autocast(device, enabled=False):
            narrow_CD = item_CD.detach().to(dtype)
            for query_RD, target_R, grad_RD in zip(
                query_ND.detach().to(dtype).split(ROWS), target_N.split(ROWS), query_grad_ND.split(ROWS), strict=True
            ):
                logit_RC = query_RD @ narrow_CD.T
                target_R1 = target_R[:, None]
                log_p_RC = logit_RC.log_softmax(1)
                total += -(1 - smoothing) * log_p_RC.gather(1, target_R1).float().sum()
                if smoothing:
                    total -= smoothing * log_p_RC.float().mean(1).sum()
                grad_RC = log_p_RC.exp_()
                if smoothing:
                    grad_RC -= smoothing / len(item_CD)
                grad_RC.scatter_add_(1, target_R1, grad_RC.new_full(target_R1.shape, smoothing - 1))
                grad_RD.copy_(grad_RC @ narrow_CD)
                item_grad_CD += grad_RC.T @ query_RD
        ctx.save_for_backward(query_grad_ND.to(query_ND.dtype), item_grad_CD.to(item_CD.dtype))
        return total / len(query_ND)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_grad_ND, item_grad_CD = ctx.saved_tensors
        scale = grads[0] / len(query_grad_ND)
        return query_grad_ND * scale, item_grad_CD * scale, None, None

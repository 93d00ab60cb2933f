"""Cross entropy over a whole catalogue of items, in slices. Never samples: for lists of candidates see losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512  # whose logits over some thousand items stay in a processor's cache between the passes over them

TINY = 1e-37  # a probability that bfloat16 still tells from 0


def catalogue_softmax(query_ND: Tensor, item_CD: Tensor, target_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Scalar: mean cross entropy of target_N (int64) among all C items, by inner product.

    Gradients are made in the forward pass, a slice of rows at a time, so that no [N, C] array ever exists. smoothing:
    the share of a target's mass that is spread evenly over the catalogue. Under autocast products are in its precision.
    """
    loss: Tensor = _Catalogue.apply(query_ND, item_CD, target_N, smoothing)
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
            for start in range(0, len(query_ND), ROWS):
                rows = slice(start, start + ROWS)
                query_RD, target_R1 = query_ND[rows].detach().to(dtype), target_N[rows, None]
                logit_RC = query_RD @ narrow_CD.T
                logit_R1 = logit_RC.gather(1, target_R1).float()
                p_RC = logit_RC.softmax(1)
                log_p_R1 = p_RC.gather(1, target_R1).float().clamp_min(TINY).log()
                total -= log_p_R1.sum()
                if smoothing:
                    mean_R1 = query_RD.float() @ narrow_CD.float().mean(0)[:, None]
                    total += smoothing * (logit_R1 - mean_R1).sum()
                    p_RC -= smoothing / len(item_CD)
                p_RC.scatter_add_(1, target_R1, p_RC.new_full(target_R1.shape, smoothing - 1))
                query_grad_ND[rows] = p_RC @ narrow_CD
                item_grad_CD += p_RC.T @ query_RD
        ctx.save_for_backward(query_grad_ND.to(query_ND.dtype), item_grad_CD.to(item_CD.dtype))
        return total / len(query_ND)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_grad_ND, item_grad_CD = ctx.saved_tensors
        scale = grads[0] / len(query_grad_ND)
        return query_grad_ND * scale, item_grad_CD * scale, None, None

"""Dropout with cheap random bits on a CPU. Never drops outside training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 256  # a byte for each element: shares are kept to a 256th, and one draw of 64 bits serves eight elements


class Dropout(nn.Module):
    """Dropout like torch.nn.Dropout, with the share rounded to 1/256.

    On a CPU the draws of torch's own took a quarter of a training step.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """The input with a share of its values set to 0 and the others scaled up; the input itself outside training."""
        dropped = round(self.share * LEVELS)
        if not self.training or not dropped:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.share)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = (words.view(torch.uint8)[: x.numel()] >= dropped).view(x.shape)
        return x * kept * (LEVELS / (LEVELS - dropped))

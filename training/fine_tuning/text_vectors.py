"""Vectors of tokenised texts by a language model that learns. Never tokenises, never learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.content.text_encoder import pool


class TextVectors:
    """Texts by their place, and what a language model makes of them. Gradients pass through."""

    def __init__(
        self,
        model: nn.Module,
        tokens: Sequence[Sequence[int]],
        *,
        last_token: bool = False,
        pad_id: int = 0,
        bf16: bool = False,
    ) -> None:
        """tokens: of each text. last_token: its state is the text's vector, else the mean over all tokens.

        bf16: whether products are computed in it.
        """
        self.model = model
        self._tokens = [one or [pad_id] for one in tokens]
        self._last_token, self._pad_id, self._bf16 = last_token, pad_id, bf16
        self.device = next(model.parameters()).device

    def __len__(self) -> int:
        return len(self._tokens)

    def padded(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Token ids of some texts, and their mask, 0 where padded: int64 [N, L] each."""
        lengths = [len(self._tokens[row]) for row in rows]
        ids = torch.full((len(rows), max(lengths)), self._pad_id)
        mask = torch.zeros((len(rows), max(lengths)), dtype=torch.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = torch.tensor(self._tokens[row])
            mask[place, : lengths[place]] = 1
        return ids.to(self.device), mask.to(self.device)

    def of(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors of padded texts, not of unit length, float32 [N, D]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return pool(hidden.float(), mask, self._last_token)

    def __call__(self, rows: Sequence[int]) -> Tensor:
        """Unit vectors of some texts, float32 [N, D]."""
        return nn.functional.normalize(self.of(*self.padded(rows)), dim=1)

"""The room tower: content and streamer to one vector, by a content gate. Never sees a viewer or a statistic.

LARM, arXiv 2504.05217, section 3: `a = P(now ⊕ mean)`, `e` the streamer's embedding, `λ = sigmoid(gate(e))`, and
`vector = normalise(λ·a + (1 − λ)·e)`. λ is the content gate. It reads only the embedding, so that how much the content
counts depends on how well the streamer is known. Row 0 of the embeddings is cold: all streamers that training has not
seen share it.

P reads content less what all content has in common. Texts are far more alike than unlike, so that a projection of them
as they come soon turns every room into one and the same direction, and normalising leaves nothing to learn from.

With an adapter (LEARN, arXiv 2405.03988, adapts a frozen language model's vectors so; Houlsby et al. 2019 its shape)
each content vector x becomes `x + up(relu(down(x)))` before that. `up` begins at zero, so that the first step reads
what the encoder gives, and zeros stay zeros: a room without chat has none afterwards either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from training.model.config import COLD, LarmConfig


@dataclass(frozen=True, slots=True)
class RoomVectors:
    """The room tower's outputs for N rooms. Vectors are float32 of unit length."""

    vector_NE: Tensor
    content_NE: Tensor  # a, of unit length; zero for a room without content
    content_gate_N: Tensor  # λ, 0 to 1; 0 for a room without content


class ContentAdapter(nn.Module):
    """Two layers beside the identity, without biases, for one content vector at a time."""

    def __init__(self, d_content: int, units: int) -> None:
        super().__init__()
        self.down = nn.Linear(d_content, units, bias=False)
        self.up = nn.Linear(units, d_content, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, content_ND: Tensor) -> Tensor:
        """The adapted content of N texts, [N, d_content]."""
        adapted_ND: Tensor = content_ND + self.up(relu(self.down(content_ND)))
        return adapted_ND


class RoomTower(nn.Module):
    """The room tower: adapter, where there is one, projection P, content gate, and streamers' embeddings.

    A refresh may add streamers (`load_bundle` in export.py).
    """

    def __init__(self, config: LarmConfig, num_streamers: int) -> None:
        """num_streamers: those known, the cold row not counted."""
        super().__init__()
        self.config = config
        self.project = nn.Linear(2 * config.d_content, config.d_model, bias=False)
        self.adapt = ContentAdapter(config.d_content, config.adapter) if config.adapter else nn.Identity()
        self.centre_W: Tensor
        self.register_buffer("centre_W", torch.zeros(2 * config.d_content))  # the mean of now ⊕ mean
        self.streamer = nn.Embedding(num_streamers + 1, config.d_model)
        self.gate = nn.Linear(config.d_model, 1)
        nn.init.normal_(self.streamer.weight, std=config.d_model**-0.5)
        if config.sides == "id":  # nothing of the content, neither here nor in what the ranker reads of it
            nn.init.zeros_(self.project.weight).requires_grad_(False)

    def forward(self, now_ND: Tensor, mean_ND: Tensor, has_N1: Tensor, row_N: Tensor) -> RoomVectors:
        """Vectors of N rooms.

        now_ND, mean_ND: [N, d_content], zeros without content. has_N1: bool, whether there is content. row_N: int64,
        the streamers' rows, COLD for one that training has not seen.
        """
        both_NW = torch.cat((self.adapt(now_ND), self.adapt(mean_ND)), -1) - self.centre_W
        return self.fuse(self.project(both_NW), has_N1, row_N)

    def fuse(self, both_NE: Tensor, has_N1: Tensor, row_N: Tensor) -> RoomVectors:
        """Vectors of N rooms from content that is projected already; has_N1, row_N as in `forward`."""
        if self.training and self.config.id_dropout > 0:
            row_N = row_N.masked_fill(torch.rand(row_N.shape, device=row_N.device) < self.config.id_dropout, COLD)
        id_NE = self.streamer(row_N)
        a_NE = normalize(both_NE, dim=-1) * has_N1
        gate_N1 = torch.sigmoid(self.gate(id_NE)) * has_N1
        if self.config.sides != "both":
            gate_N1 = torch.full_like(gate_N1, float(self.config.sides == "content")) * has_N1
        vector_NE = normalize(gate_N1 * a_NE + (1 - gate_N1) * normalize(id_NE, dim=-1), dim=-1)
        return RoomVectors(vector_NE, a_NE, gate_N1[:, 0])

    def bias(self) -> Tensor:
        """The projection's bias [E], to be added to the projection of content from which no mean was taken."""
        bias_E: Tensor = -self.project(self.centre_W)
        return bias_E

    def halves(self) -> tuple[Tensor, Tensor]:
        """The projection's weights for the content of now and for the slow mean, [E, d_content] each."""
        weight_EW, width = self.project.weight, self.config.d_content
        return weight_EW[:, :width], weight_EW[:, width:]

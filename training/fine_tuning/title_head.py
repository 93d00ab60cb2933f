"""The head that tells a room's title from its chat while the encoder learns. Never saved with it, never encodes.

NoteLLM (arXiv 2403.01744) has its model write tags and category beside the vector that it learns, so that the vector
says what a text is about. There the language model writes them token by token. An encoder that reads both ways writes
nothing, so here one linear layer predicts, from the pooled vector, which tokens the title's text has (title, category
and tags). The loss is the paper's, the mean of −log p over the tokens, without their order. It asks nothing of the
model but a vector: one of a causal model, which is its last token's state, learns by it as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.fit.optimizer import AdamW

LEAST_TITLES = 2  # with a token: what one title alone has says which room it is, not what rooms are about
MOST_TOKENS = 4_000  # the most frequent
NO_TITLE = -1


class TitleTokens:
    """Which tokens tell titles apart, and how much each counts: log(titles / titles with it), a title's sum being 1."""

    def __init__(self, titles: Sequence[Sequence[int]]) -> None:
        """titles: the tokens of each."""
        having = Counter(token for title in titles for token in set(title))
        frequent = sorted(having.items(), key=lambda one: (-one[1], one[0]))[:MOST_TOKENS]
        self.tokens = [token for token, count in frequent if LEAST_TITLES <= count < len(titles)]
        place_of = {token: place for place, token in enumerate(self.tokens)}
        idf_V = np.array([math.log(len(titles) / having[token]) for token in self.tokens], np.float32)
        self._of_title: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
        for title in titles:
            places = np.array(sorted(place_of[token] for token in set(title) if token in place_of), np.intp)
            self._of_title.append((places, idf_V[places] / idf_V[places].sum()))
        self.share_V = self.of(range(len(titles))).mean(axis=0) if titles else np.zeros(0, np.float32)

    def of(self, titles: Iterable[int]) -> NDArray[np.float32]:
        """What is to be told of these titles, float32 [N, V]: a row of nothing for NO_TITLE, and for one without such
        tokens."""
        titles = list(titles)
        wanted_NV = np.zeros((len(titles), len(self.tokens)), np.float32)
        for row, title in enumerate(titles):
            if title != NO_TITLE:
                places, weights = self._of_title[title]
                wanted_NV[row, places] = weights
        return wanted_NV


class TitleHead:
    """One linear layer from unit vectors [N, D] to a title's tokens, and its optimizer. It begins with how frequent
    each token is, and draws nothing at random."""

    def __init__(self, titles: TitleTokens, dimension: int, device: torch.device, decay: float) -> None:
        self._titles, self._scale = titles, math.sqrt(dimension)
        self.layer = nn.Linear(dimension, len(titles.tokens), device="meta").to_empty(device=device)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.bias.copy_(torch.from_numpy(np.log(titles.share_V + 1e-6)))
        self._optimizer = AdamW(self.layer.parameters(), decay)

    def loss(self, vectors_ND: Tensor, titles: Iterable[int]) -> Tensor:
        """The mean of −log p of the tokens of the texts' titles; 0 where none of them has a title."""
        wanted_NV = torch.from_numpy(self._titles.of(titles)).to(vectors_ND.device)
        told = int((wanted_NV.sum(dim=1) > 0).sum())
        logits_NV: Tensor = self.layer(self._scale * vectors_ND)
        loss: Tensor = -(wanted_NV * logits_NV.log_softmax(dim=1)).sum() / max(told, 1)
        return loss

    def step(self, rate: float) -> None:
        """Moves the layer against its gradients, and forgets them."""
        self._optimizer.step(rate)
        self._optimizer.forget_gradients()

    def state(self) -> dict[str, Any]:
        """What the next step needs: the layer and its moments."""
        return {"layer": self.layer.state_dict(), "optimizer": self._optimizer.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state. Raises RuntimeError, KeyError, TrainingError: it is of another head."""
        self.layer.load_state_dict(state["layer"])
        self._optimizer.restore(state["optimizer"])

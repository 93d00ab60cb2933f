"""Fine-tunes a language model on pairs of texts. Never makes a pair, never reads files, never knows of other processes.

The loss is InfoNCE in both directions (arXiv 1807.03748): of all right texts of a batch the one that belongs to a left
text is to be the nearest. Texts that may belong to it too, and near duplicates, are no negatives. Only the last layers
learn: the others hold what the model knows of language, and cost no gradient. A second task, where it has a weight w,
is to tell a room's title from its chat (training/fine_tuning/title_head.py): the loss is (L_con + w·L_title) / (1 + w).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from streaming.errors import ConfigError, TrainingError
from streaming.section import Count, CountOrZero, NotNegative, Positive, PositiveShare, Section
from training.fine_tuning.text_pairs import TextPairs
from training.fine_tuning.text_vectors import TextVectors
from training.fine_tuning.title_head import TitleHead, TitleTokens
from training.fit.learner import ProcessGroup
from training.fit.optimizer import AdamW, warmed_up


@dataclass(frozen=True, slots=True)
class EncoderLearnConfig(Section):
    """Settings of fine-tuning. layers: the last ones, which learn."""

    section: ClassVar[str] = "encoder_learn"

    layers: Count = 2
    epochs: Count = 1
    batch: Annotated[int, Meta(ge=2)] = 64  # pairs a step and worker
    rate: Positive = 5e-5
    warm_up: PositiveShare = 0.1  # of the steps, in which the rate rises; then it falls to nothing
    decay: NotNegative = 1e-2
    temperature: Positive = 0.05
    duplicate: PositiveShare = 0.95  # from this cosine on two texts are near duplicates
    title_weight: NotNegative = 0.0  # of telling titles, beside the pairs; 0: without a head for it
    title_rate: Positive = 3e-3  # of that head, which begins with nothing
    seed: CountOrZero = 7


@dataclass(frozen=True, slots=True)
class EncoderStep:
    """The result of one step. examples: the pairs of this process in the step's batch."""

    step: int
    examples: int
    losses: dict[str, float] = field(default_factory=dict)
    phase: str = "encoder"


class NotFinite(TrainingError):
    """A gradient is NaN or infinite. Nothing was changed by it."""


class EncoderLearner:
    """A trainer of a language model: one process's part of a run. Each draw follows from the seed and the step."""

    def __init__(
        self,
        model: nn.Module,
        tokens: Sequence[Sequence[int]],
        pairs: TextPairs,
        config: EncoderLearnConfig,
        *,
        titles: Sequence[Sequence[int]] = (),
        last_token: bool = False,
        pad_id: int = 0,
        rank: int = 0,
        processes: int = 1,
        group: ProcessGroup | None = None,
        bf16: bool = False,
    ) -> None:
        """tokens: of each text of the pairs. titles: tokens of each of their titles. last_token, pad_id, bf16: as for
        `TextVectors`.

        Raises TrainingError: there are too few pairs for one step.
        """
        self.model, self.step = model, 0
        self.vectors = TextVectors(model, tokens, last_token=last_token, pad_id=pad_id, bf16=bf16)
        self._pairs, self._config = pairs, config
        self._rank, self._processes, self._group = rank, processes, group
        self._device = self.vectors.device
        self._per_epoch = len(pairs.batches(config.batch, config.seed, 0)) // processes
        self.steps = self._per_epoch * config.epochs
        if not self.steps:
            raise TrainingError(f"{len(pairs)} pairs of texts; {processes} steps' worth are needed: give more chat")
        self._learning = _last_layers(model, config.layers)
        self._optimizer = AdamW([one for layer in self._learning for one in layer.parameters()], config.decay)
        self._head: TitleHead | None = None
        told = TitleTokens(titles if config.title_weight else ())
        if told.tokens:
            sizes: Any = model.config
            self._head = TitleHead(told, sizes.hidden_size, self._device, config.decay)

    def run(self) -> Iterator[EncoderStep]:
        """Learns step by step, from where it is to the end."""
        self.model.eval()  # no dropout below: the layers that learn nothing are a function
        while self.step < self.steps:
            yield self._learn()
        self.model.eval()

    def state(self) -> dict[str, Any]:
        """What the next step needs: the layers that learn, their moments, and the number of steps done."""
        return {
            "step": self.step,
            "layers": [layer.state_dict() for layer in self._learning],
            "optimizer": self._optimizer.state(),
            **({} if self._head is None else {"titles": self._head.state()}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state. Raises TrainingError: it is of another model."""
        try:
            for layer, values in zip(self._learning, state["layers"], strict=True):
                layer.load_state_dict(values)
            if self._head is not None:
                self._head.restore(state["titles"])
        except (RuntimeError, KeyError, ValueError) as err:
            raise TrainingError(f"the checkpoint is not of this language model: {err}; begin a new run") from err
        self._optimizer.restore(state["optimizer"])
        self.step = int(state["step"])

    def _learn(self) -> EncoderStep:
        epoch, place = divmod(self.step, self._per_epoch)
        batches = self._pairs.batches(self._config.batch, self._config.seed, epoch)
        places_B = batches[place * self._processes + self._rank]
        torch.manual_seed(int(np.random.SeedSequence([self._config.seed, self.step, self._rank]).generate_state(1)[0]))
        for layer in self._learning:
            layer.train()
        loss, losses = self._loss(places_B)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._group is not None:
            for module in self._modules():  # a gradient that is not a number is so in all processes then
                self._group.average_gradients(module)
        if not self._has_finite_gradients():
            raise NotFinite(
                f"a gradient of step {self.step + 1} of fine-tuning is not a number; a lower training.encoder_rate may "
                "help"
            )
        share = warmed_up(self.step, self.steps, self._config.warm_up)
        self._optimizer.step(self._config.rate * share)
        self._optimizer.forget_gradients()
        if self._head is not None:
            self._head.step(self._config.title_rate * share)
        self.step += 1
        return EncoderStep(self.step, len(places_B), losses)

    def _modules(self) -> list[nn.Module]:
        return [self.model, *([] if self._head is None else [self._head.layer])]

    def _has_finite_gradients(self) -> bool:
        learning = [*self._learning, *self._modules()[1:]]
        gradients = [one.grad for module in learning for one in module.parameters() if one.grad is not None]
        return all(bool(gradient.isfinite().all()) for gradient in gradients)

    def _loss(self, places_B: NDArray[np.intp]) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and what it is made of; found: of the left texts, whose own right text is nearest."""
        rows = np.concatenate([self._pairs.left_P[places_B], self._pairs.right_P[places_B]])
        vectors_2D = self.vectors(rows.tolist())
        contrast, found = self._contrast(places_B, vectors_2D)
        losses = {"contrast": float(contrast.detach()), "found": found}
        if self._head is None:
            return contrast, losses
        weight = self._config.title_weight
        title = self._head.loss(vectors_2D, self._pairs.title_P2[places_B].T.ravel().tolist())
        return (contrast + weight * title) / (1 + weight), losses | {"title": float(title.detach())}

    def _contrast(self, places_B: NDArray[np.intp], vectors_2D: Tensor) -> tuple[Tensor, float]:
        """InfoNCE of a batch, and the share of left texts whose own right text is the nearest."""
        pairs, size = self._pairs, len(places_B)
        left_BD, right_BD = vectors_2D[:size], vectors_2D[size:]
        cosine_BB = left_BD @ right_BD.T
        own_BB = torch.eye(size, dtype=torch.bool, device=self._device)
        together_BB = torch.from_numpy(pairs.together_BB(places_B)).to(self._device)
        alike_BB = torch.maximum(left_BD @ left_BD.T, right_BD @ right_BD.T).detach() >= self._config.duplicate
        score_BB = (cosine_BB / self._config.temperature).masked_fill((together_BB | alike_BB) & ~own_BB, -torch.inf)
        targets_B = torch.arange(size, device=self._device)
        there, back = (nn.functional.cross_entropy(one_BB, targets_B) for one_BB in (score_BB, score_BB.T))
        return (there + back) / 2, float((score_BB.argmax(1) == targets_B).float().mean())


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a language model, in order. Raises ConfigError: it has none that are known here."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    number = int(getattr(model.config, "num_hidden_layers", 0))
    stack = next((one for one in lists if len(one) == number), None)
    if stack is None:
        raise ConfigError(
            f"language models of this kind ({type(model).__name__}) cannot be fine-tuned or compressed here"
        )
    return stack


def _last_layers(model: nn.Module, count: int) -> list[nn.Module]:
    """The last layers of a language model, which learn from now on; everything else is frozen.

    Raises ConfigError: it has fewer.
    """
    stack = layers_of(model)
    if len(stack) < count:
        raise ConfigError(f"the language model has {len(stack)} layers, of which {count} are to learn; give fewer")
    model.requires_grad_(False)
    learning = list(stack)[-count:]
    for layer in learning:
        layer.requires_grad_(True)
    return learning

"""Settings of the model's parts, and the features that each part reads. Never imports torch: replicas read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

from streaming.section import Count, CountOrZero, Section, ShareBelowOne
from training.features.features import SERVED
from training.model.semantic_codes import CodesConfig
from training.viewer_config import ViewerConfig

COLD = 0  # the row that stands for streamers whom training has not seen
LEARNED = ("moves_share", "first_moves_share", "covisits", "best_covisit")  # online they come from a version's table
TOTALS = ("total_visits", "total_first_share", "total_newcomer_share")  # of each streamer, from such a table too
RANKED: tuple[str, ...] = (*SERVED, *LEARNED, *TOTALS)  # the features that the ranker reads
# Inputs of the ranker that towers and codes compute, with the range between the first and the last knot.
EXTRA: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "dot": (-6.0, 6.0),  # of the viewer's and the room's vector
        "gate": (0.0, 1.0),  # the content gate λ of the room tower
        "alike": (-1.0, 1.0),  # cosine of the visited rooms' content and the room's
        "same_1": (0.0, 1.0),  # share of the visits to rooms with the same first static code
        "same_2": (0.0, 1.0),  # with the same first two
        "same_now": (0.0, 1.0),  # whose first static code is the room's dynamic one
        "code_dot": (-2.0, 2.0),  # of the codes' embeddings: pooled of the visits, and of the room
        "same_language": (0.0, 1.0),  # share of the visits to rooms of the same declared language
        "same_category": (0.0, 1.0),
    }
)
STATISTICS = ("messages_rank", "entries_rank", "newcomers_rank", "room_age_s")  # beside the room tower
HEADS = ("enter", "stay", "interact", "leave")  # a version may lack the last one
LEAVE = HEADS.index("leave")
ADAPTER = "rooms.adapt"  # before the names of the adapter's arrays, which a version may lack
HEAD_ARRAYS = ("ranker.heads.weight", "ranker.heads.bias", "ranker.straight.weight")  # a row for each head before it
HABIT_HALF_LIFE_S = 14 * 86_400.0  # a streamer who is on twice a week is not forgotten between
FRESH_HALF_LIFE_S = 600.0
LARGE = 6.9  # log(1 + 1,000): an audience that counts as 1

Sides = Literal["both", "id", "content"]


class TermWeights(NamedTuple):
    """Weights of the ranker's terms, in the order of the array `ranker.terms_K`. The defaults are the initial weights.

    The terms resemble those of the baseline ranker of the same name (training/baseline.py).
    """

    visited: float = 9.0
    content: float = 2.0
    trending: float = 3.0
    crowd: float = 0.6
    fresh: float = 0.1
    language: float = 3.0
    category: float = 6.0


@dataclass(frozen=True, slots=True)
class LarmConfig(Section):
    """Settings of the room tower. d_content: the encoder's dimension; d_model: that of its output vectors.

    sides: what a vector is made from, "both" or one alone, for ablation. adapter: units of the two layers that content
    goes through before its projection; 0: it is projected as the encoder gives it.
    """

    section: ClassVar[str] = "larm"

    d_content: Count = 384
    d_model: Count = 64
    # share of streamers that are cold in a training step, to the towers and to the ranker
    id_dropout: ShareBelowOne = 0.2
    sides: Sides = "both"
    adapter: CountOrZero = 0


@dataclass(frozen=True, slots=True)
class RankerConfig(Section):
    """Settings of the ranker. hidden: units of the network's layers. bins: straight lines per feature."""

    section: ClassVar[str] = "ranker"

    hidden: tuple[Count, Count] = (96, 48)
    bins: Count = 8
    dropout: ShareBelowOne = 0.0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Settings of all parts of the model. The viewer tower's d_item and d_model are the room tower's d_model."""

    larm: LarmConfig = field(default_factory=LarmConfig)
    viewer: ViewerConfig = field(default_factory=ViewerConfig)
    codes: CodesConfig = field(default_factory=CodesConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)

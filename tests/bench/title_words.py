"""How well the words of a room's title can be told from the content vector of its chat, for any encoder.

    python -m tests.bench.title_words --chat FILE --channels FILE [--from TIME] [--until TIME] [--model NAME|FOLDER ...]
                                      [--texts N] [--json]

A probe: a ridge regression, in closed form, from the vector of 30 s of chat to which words the room's title, category
and tags have. `other streamers`: learned on all streamers but one and tried on that one, each in turn; of its words
those are looked for that another streamer's title has too. `later`: learned on the older half of the texts and tried on
the newer, which asks whether the encoder knows the room again. The words are ranked for each text of chat; MAP is the
mean average precision of the title's words, recall@10 the share of them among the first ten. Streamers count alike,
with a 95 % interval by resampling them. `placebo` is the same with the vectors dealt to other texts, which leaves how
frequent each word is. `gain` is the difference to the first model. Give a time after all that a model has learned from.
An encoder that was fine-tuned has read the streamers' chat of before, and their titles: the probe has not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.commands.command_line import time_ms
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay, read_channels
from tests.bench.text_pairs import SHARE, Quiet
from training.content.text_encoder import TextEncoder
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_recorded
from training.fine_tuning.pairs_of_examples import PairsConfig, pairs_of_examples
from training.settings import EncoderConfig

SEED, RESAMPLES, FIRST = 11, 1_000, 10
RIDGE = 1.0  # of the mean variance of a dimension, both without scale: not tuned
WORD = re.compile(r"\w{2,}")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """N texts of chat in time order: whose, and the words of the room's title."""

    texts: tuple[str, ...]
    streamer_N: NDArray[np.intp]
    titles: tuple[str, ...]

    def words(self, least: int) -> NDArray[np.bool_]:
        """Which words each text's title has, of those that the titles of so many streamers have: bool [N, W]."""
        of_title = {title: set(WORD.findall(title.casefold())) for title in set(self.titles)}
        pairs = {(int(who), title) for who, title in zip(self.streamer_N, self.titles, strict=True)}
        whose = {(who, word) for who, title in pairs for word in of_title[title]}
        count = Counter(word for _, word in whose)
        words = sorted(word for word, having in count.items() if having >= least)
        return np.array([[word in of_title[title] for word in words] for title in self.titles], bool)


def told_of(chat: Path, channels: Path, selection: Selection, most: int) -> Told:
    """At most so many texts of each streamer with a title, drawn at random."""
    replay = Replay(Recording.open(chat, "chat"), channels=read_channels(channels), selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        examples = write_recorded(replay, Path(folder) / "examples", ExamplesConfig(share=SHARE), Quiet())
        pairs = pairs_of_examples(examples, PairsConfig(most=1_000_000, later_share=1.0, title_share=0.0))
        streamer_P = examples.streamer_of_room[pairs.left_room_P]
    kept: list[int] = []
    rng = np.random.default_rng(SEED)
    for streamer in np.unique(streamer_P):
        able = np.flatnonzero((streamer_P == streamer) & (pairs.title_P2[:, 0] >= 0))
        kept += rng.permutation(able)[:most].tolist()
    kept.sort()
    return Told(
        tuple(pairs.texts[pairs.left_P[place]] for place in kept),
        streamer_P[kept].astype(np.intp),
        tuple(pairs.titles[pairs.title_P2[place, 0]] for place in kept),
    )


def ridge(vectors_ND: Floats, words_NW: Floats, weight_N: Floats, asked_MD: Floats) -> Floats:
    """Scores [M, W] of words for the asked vectors, by a weighted ridge regression."""
    share_N = weight_N / weight_N.sum()
    mean_D, mean_W = share_N @ vectors_ND, share_N @ words_NW
    centred_ND = vectors_ND - mean_D
    scatter_DD = centred_ND.T @ (share_N[:, None] * centred_ND)
    ridge_DD = RIDGE * np.trace(scatter_DD) / len(scatter_DD) * np.eye(len(scatter_DD))
    slope_DW = np.linalg.solve(scatter_DD + ridge_DD, centred_ND.T @ (share_N[:, None] * (words_NW - mean_W)))
    result: Floats = (asked_MD - mean_D) @ slope_DW + mean_W
    return result


def measures(score_NW: Floats, words_NW: NDArray[np.bool_]) -> Floats:
    """Average precision and recall@10 of each text, [N, 2]; NaN for one without words."""
    order_NW = np.argsort(-score_NW, axis=1, kind="stable")
    hit_NW = np.take_along_axis(words_NW, order_NW, axis=1)
    count_N = hit_NW.sum(axis=1)
    precision_NW = np.cumsum(hit_NW, axis=1) / np.arange(1, hit_NW.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        both_2N = np.array([(precision_NW * hit_NW).sum(axis=1), hit_NW[:, :FIRST].sum(axis=1)]) / count_N
    return np.asarray(both_2N.T)


def probed(vectors_ND: Floats, told: Told) -> dict[str, Floats]:
    """By protocol: the two measures of each streamer, [S, 2]; NaN where there is nothing to tell."""
    weight_N = 1 / np.bincount(told.streamer_N)[told.streamer_N]
    shared_NW, all_NW = told.words(2), told.words(1)
    other_N2 = np.full((len(vectors_ND), 2), np.nan)
    for streamer in np.unique(told.streamer_N):
        held_N = told.streamer_N == streamer
        score_MW = ridge(vectors_ND[~held_N], shared_NW[~held_N].astype(float), weight_N[~held_N], vectors_ND[held_N])
        other_N2[held_N] = measures(score_MW, shared_NW[held_N])
    newer_N = np.arange(len(vectors_ND)) >= len(vectors_ND) // 2
    newer_N &= np.isin(told.streamer_N, told.streamer_N[~newer_N])
    older_N = np.arange(len(vectors_ND)) < len(vectors_ND) // 2
    later_N2 = np.full((len(vectors_ND), 2), np.nan)
    score_MW = ridge(vectors_ND[older_N], all_NW[older_N].astype(float), weight_N[older_N], vectors_ND[newer_N])
    later_N2[newer_N] = measures(score_MW, all_NW[newer_N])
    return {"other streamers": _by_streamer(other_N2, told), "later": _by_streamer(later_N2, told)}


def _by_streamer(values_N2: Floats, told: Told) -> Floats:
    result = np.full((int(told.streamer_N.max()) + 1, 2), np.nan)
    for streamer in np.unique(told.streamer_N):
        some_N2 = values_N2[told.streamer_N == streamer]
        some_N2 = some_N2[np.isfinite(some_N2[:, 0])]
        if len(some_N2):
            result[streamer] = some_N2.mean(axis=0)
    return result


def interval(values_S: Floats) -> list[float]:
    """The mean over streamers, and both ends of its 95 % interval by resampling them."""
    values = values_S[np.isfinite(values_S)]
    drawn = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return [round(float(one), 3) for one in (values.mean(), low, high)]


def dealt(vectors_ND: Floats) -> Floats:
    """The vectors, each at another text."""
    return vectors_ND[np.random.default_rng(SEED).permutation(len(vectors_ND))]


def figures(measured: dict[str, Floats], first: dict[str, Floats]) -> dict[str, list[float]]:
    """Each measure of each protocol with its interval, and how much more it is than that of the first model."""
    return {
        f"{protocol}, {name}{', gain' if less else ''}": interval(
            values_S2[:, place] - (first[protocol][:, place] if less else 0)
        )
        for protocol, values_S2 in measured.items()
        for place, name in enumerate(("MAP", f"recall@{FIRST}"))
        for less in (False, True)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of each encoder, and of its placebo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, required=True)
    parser.add_argument("--channels", type=Path, required=True)
    parser.add_argument("--from", dest="from_ms", type=time_ms)
    parser.add_argument("--until", dest="until_ms", type=time_ms)
    parser.add_argument("--model", nargs="+", default=["minilm"])
    parser.add_argument("--texts", type=int, default=60, help="of a streamer, at most")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    told = told_of(given.chat, given.channels, Selection(None, given.from_ms, given.until_ms, None), given.texts)
    result: dict[str, Any] = {}
    first: dict[str, Floats] = {}
    for model in given.model:
        vectors_ND = TextEncoder(EncoderConfig(model=model)).encode(told.texts).astype(np.float64)
        for name, some_ND in ((model, vectors_ND), (f"{model}, placebo", dealt(vectors_ND))):
            measured = probed(some_ND, told)
            first = first or measured
            result[name] = figures(measured, first)
            if not given.json:
                print(f"{name}: {result[name]}", flush=True)
    if given.json:
        streamers = len(np.unique(told.streamer_N))
        json.dump({"texts": len(told.texts), "streamers": streamers, "encoders": result}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

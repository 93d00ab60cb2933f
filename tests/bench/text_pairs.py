"""Whether an encoder knows which texts belong together: pairs of a recording found again, by kind of pair.

    python -m tests.bench.text_pairs --chat FILE [--channels FILE] [--from TIME] [--until TIME]
                                     [--model NAME|FOLDER ...] [--pairs N] [--json]

Pairs are those that `tidecast train --encoder full` learns from (training/fine_tuning/pairs_of_examples.py): give a
time after all that a model has learned from. Of 64 pairs of one time, `found` is the share of left texts whose own
right text is nearest, other pairs of the same rooms left out; with Wilson's 95 % interval. Chance is some .02.
`shuffled` is the same with the right texts dealt to other pairs of the batch: what it finds there is chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.commands.command_line import time_ms
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay, read_channels
from tests.bench.languages import wilson
from training.content.text_encoder import TextEncoder
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_recorded
from training.fine_tuning.pairs_of_examples import PairsConfig, pairs_of_examples
from training.fine_tuning.text_pairs import PairKind, TextPairs
from training.settings import EncoderConfig

BATCH, SEED = 64, 11
SHARE = 0.1  # of the visits, as examples: what was said in a segment is wanted once


class Quiet:
    """A follower of a pass over a recording who says nothing."""

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Says nothing."""


def pairs_of(chat: Path, channels: Path | None, selection: Selection, most: int) -> TextPairs:
    """The pairs of a recording."""
    known = read_channels(channels) if channels else None
    replay = Replay(Recording.open(chat, "chat"), channels=known, selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        examples = write_recorded(replay, Path(folder) / "examples", ExamplesConfig(share=SHARE), Quiet())
        return pairs_of_examples(examples, PairsConfig(most=most, seed=SEED))


def found(encoder: TextEncoder, pairs: TextPairs) -> dict[str, list[float]]:
    """By kind of pair, and with the right texts shuffled: the share found, and both ends of its interval."""
    vectors_ND = encoder.encode(pairs.texts).astype(np.float32)
    rng = np.random.default_rng(SEED)
    hits: dict[str, list[bool]] = {}
    for places_B in pairs.batches(BATCH, SEED, 0):
        own_B = np.arange(len(places_B))
        barred_BB = pairs.together_BB(places_B)
        barred_BB[own_B, own_B] = False
        left_BD, right_BD = vectors_ND[pairs.left_P[places_B]], vectors_ND[pairs.right_P[places_B]]
        for kind, of_B, right in (
            ("", pairs.kind_P[places_B], right_BD),
            ("shuffled", None, right_BD[rng.permutation(len(places_B))]),
        ):
            cosine_BB = np.where(barred_BB, -np.inf, left_BD @ right.T)
            hit_B: NDArray[np.bool_] = cosine_BB.argmax(axis=1) == own_B
            for place, hit in enumerate(hit_B.tolist()):
                hits.setdefault(kind or PairKind(int(of_B[place])).name.lower(), []).append(hit)  # type: ignore[index]
    return {kind: wilson(sum(some), len(some)) for kind, some in sorted(hits.items())}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, required=True)
    parser.add_argument("--channels", type=Path)
    parser.add_argument("--from", dest="from_ms", type=time_ms)
    parser.add_argument("--until", dest="until_ms", type=time_ms)
    parser.add_argument("--model", nargs="+", default=["minilm"])
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    selection = Selection(None, given.from_ms, given.until_ms, None)
    pairs = pairs_of(given.chat, given.channels, selection, given.pairs)
    result: dict[str, Any] = {}
    for model in given.model:
        result[model] = found(TextEncoder(EncoderConfig(model=model)), pairs)
        if not given.json:
            said = ", ".join(
                f"{kind} {share:.3f} [{low:.3f}, {high:.3f}]" for kind, (share, low, high) in result[model].items()
            )
            print(f"{model}: {said}", flush=True)
    if given.json:
        json.dump({"pairs": len(pairs), "encoders": result}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

"""What fine-tuning on a few pairs of a recording makes of an encoder: pairs of a later time found, before and after.

    python -m tests.bench.tuned_pairs --chat FILE [--channels FILE] --split TIME [--until TIME]
                                      [--model NAME|FOLDER ...] [--learned N] [--pairs N]
                                      [--layers N] [--rate R] [--json]

It learns as `tidecast train --encoder full` does, in this process, from --learned pairs before --split, and is measured
as tests/bench/text_pairs.py does on --pairs pairs after it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deploy.commands.command_line import time_ms
from streaming.recorded.recorded_rooms import Selection
from tests.bench.text_pairs import found, pairs_of
from training.content.language_model import OwnSettings, find, load
from training.content.text_encoder import TextEncoder, uses_bf16, utf8
from training.fine_tuning.encoder_learner import EncoderLearnConfig, EncoderLearner
from training.fine_tuning.model_folder import write_model
from training.fine_tuning.text_pairs import TextPairs
from training.settings import EncoderConfig


def tuned(model: str, pairs: TextPairs, learn: EncoderLearnConfig, folder: Path) -> tuple[Path, float]:
    """The folder of a model that was fine-tuned on pairs, and the seconds that it took."""
    config = EncoderConfig(model=model)
    about = find(config)
    tokenizer, network, last_token = load(about.location, torch.float32, "cpu")
    texts = [about.prefix + utf8(text) for text in pairs.texts]
    tokens = tokenizer(texts, truncation=True, max_length=config.max_tokens - 1)["input_ids"]
    torch.set_num_threads(config.threads)
    began_s = time.perf_counter()
    learner = EncoderLearner(
        network,
        tokens,
        pairs,
        learn,
        last_token=last_token,
        pad_id=tokenizer.pad_token_id or 0,
        bf16=uses_bf16(config.precision, "cpu"),
    )
    for step in learner.run():
        loss = step.losses["contrast"]
        print(f"{model}: step {step.step} of {learner.steps}, loss {loss:.3f}", file=sys.stderr, flush=True)
    took_s = time.perf_counter() - began_s
    own = OwnSettings(about.prefix, about.query_prefix, last_token, about.dimensions)
    return write_model(network, tokenizer, own, folder), took_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints two lines for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, required=True)
    parser.add_argument("--channels", type=Path)
    parser.add_argument("--split", dest="split_ms", type=time_ms, required=True)
    parser.add_argument("--until", dest="until_ms", type=time_ms)
    parser.add_argument("--model", nargs="+", default=["minilm"])
    parser.add_argument("--learned", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=800)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    learned = pairs_of(given.chat, given.channels, Selection(None, None, given.split_ms, None), given.learned)
    judged = pairs_of(given.chat, given.channels, Selection(None, given.split_ms, given.until_ms, None), given.pairs)
    learn = EncoderLearnConfig(layers=given.layers, rate=given.rate)
    result: dict[str, Any] = {}
    for model in given.model:
        with tempfile.TemporaryDirectory() as folder:
            place, took_s = tuned(model, learned, learn, Path(folder) / "tuned")
            result[model] = {
                "before": found(TextEncoder(EncoderConfig(model=model)), judged),
                "after": found(TextEncoder(EncoderConfig(model=str(place))), judged),
                "took_s": round(took_s),
            }
        for when in () if given.json else ("before", "after"):
            shares = result[model][when].items()
            said = ", ".join(f"{kind} {share:.3f} [{low:.3f}, {high:.3f}]" for kind, (share, low, high) in shares)
            print(f"{model}, {when}: {said}", flush=True)
    if given.json:
        json.dump({"learned": len(learned), "pairs": len(judged), "encoders": result}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

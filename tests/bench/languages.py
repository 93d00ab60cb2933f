"""How well encoders know languages: topics' names found across languages, and channels' languages by their chat.

    python -m tests.bench.languages [--model NAME ...] [--chat FILE] [--json]

`names`: each of the simulator's 80 topics is called in another language, as a caller asks, and the nearest of the 80
English names is taken: the share that is the same topic, with Wilson's 95 % interval. Chance is 1/80.
`chat` (with --chat, a recording with channel, at and text): the mean vector of some chat of each channel, and the
nearest other channel: the share that has its language, for each language of two channels or more, and their mean. A
channel's language is the one that most of its texts show by their letters and commonest words. Beside it stands the
share that the commonest language would have.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import streaming.simulated
from streaming.room.language import guess_language
from training.content.language_model import SHORT_NAMES
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

SPOKEN = Path(streaming.simulated.__path__[0], "spoken.tsv")
NOT_LANGUAGES = {"category", "topic", "words"}
MESSAGES, TEXTS = 12, 16  # of a text, about 30 s of a busy room; of a channel
LEAST_TEXTS = 4
Z = 1.96
SEED = 5


def names_found(encoder: TextEncoder, topics: Sequence[Mapping[str, str]]) -> dict[str, list[float]]:
    """By language: the share of topics that their name in it finds, and both ends of its interval."""
    english_ND = encoder.encode([topic["topic"] for topic in topics]).astype(np.float32)
    found = {}
    for language in topics[0].keys() - NOT_LANGUAGES:
        asked = [encoder.as_query(topic[language]) for topic in topics]
        nearest = (encoder.encode_prefixed(asked).astype(np.float32) @ english_ND.T).argmax(axis=1)
        found[language] = wilson(int((nearest == np.arange(len(topics))).sum()), len(topics))
    return dict(sorted(found.items()))


def wilson(hits: int, of: int) -> list[float]:
    """A share with Wilson's 95 % interval (1927)."""
    share = hits / of
    middle = (share + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z / (1 + Z * Z / of) * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    return [round(figure, 3) for figure in (share, middle - half, middle + half)]


def chat_of(path: Path) -> dict[str, tuple[str, list[str]]]:
    """By channel: its language and some texts, of channels that show one which another channel has too."""
    table = pq.read_table(path, columns=["channel", "text"])
    said: dict[str, list[str]] = defaultdict(list)
    for channel, text in zip(table["channel"].to_pylist(), table["text"].to_pylist(), strict=True):
        said[channel].append(text)
    rng, found = random.Random(SEED), {}
    for channel, messages in sorted(said.items()):
        begins = range(0, len(messages) - MESSAGES + 1, MESSAGES)
        chosen = rng.sample(begins, min(TEXTS, len(begins)))
        texts = [" ".join(messages[begin : begin + MESSAGES]) for begin in chosen]
        shown = Counter(language for text in texts if (language := guess_language(text)))
        if len(texts) >= LEAST_TEXTS and shown:
            found[channel] = (shown.most_common(1)[0][0], texts)
    channels = Counter(language for language, _ in found.values())
    return {channel: pair for channel, pair in found.items() if channels[pair[0]] > 1}


def languages_found(encoder: TextEncoder, chat: Mapping[str, tuple[str, list[str]]]) -> dict[str, Any]:
    """By language: the share of channels whose nearest other channel has it."""
    languages = np.array([language for language, _ in chat.values()])
    means_CD = np.stack([mean_of(encoder.encode(texts)) for _, texts in chat.values()])
    likeness_CC = means_CD @ means_CD.T
    np.fill_diagonal(likeness_CC, -np.inf)
    hits = languages[likeness_CC.argmax(axis=1)] == languages
    shares = {str(language): round(float(hits[languages == language].mean()), 3) for language in np.unique(languages)}
    return {
        "channels": Counter(map(str, languages)),
        "shares": shares,
        "mean": round(float(np.mean([*shares.values()])), 3),
    }


def mean_of(vectors_ND: NDArray[np.float16]) -> NDArray[np.float32]:
    """The mean direction of N texts, float32 [D]."""
    mean_D = vectors_ND.astype(np.float32).mean(axis=0)
    unit: NDArray[np.float32] = mean_D / np.linalg.norm(mean_D)
    return unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"as encoder.model; again for more ({', '.join(SHORT_NAMES)})")
    parser.add_argument("--chat", type=Path, help="a Parquet file with channel and text")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    with SPOKEN.open(encoding="utf-8") as file:
        topics = list(csv.DictReader(file, delimiter="\t"))
    chat = chat_of(args.chat) if args.chat else {}
    figures: dict[str, dict[str, Any]] = {}
    for model in args.model or [name for name, short in SHORT_NAMES.items() if short.installed()]:
        print(f"{model} ...", file=sys.stderr)
        encoder = TextEncoder(EncoderConfig(model=model))
        figures[encoder.version] = {"names": names_found(encoder, topics)}
        if chat:
            figures[encoder.version]["chat"] = languages_found(encoder, chat)
    if args.json:
        print(json.dumps(figures))
        return
    for version, kinds in figures.items():
        print(version)
        for language, (share, low, high) in kinds["names"].items():
            print(f"  names in {language}      {share:.2f} [{low:.2f}, {high:.2f}]")
        if chat:
            said = kinds["chat"]
            most = max(said["channels"].values()) / sum(said["channels"].values())
            for language, share in said["shares"].items():
                print(f"  chat in {language}       {share:.2f} of {said['channels'][language]} channels")
            print(
                f"  mean of languages {said['mean']:.2f}; the commonest language would have {most:.2f} of all channels"
            )


if __name__ == "__main__":
    main()

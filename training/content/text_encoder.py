"""A text encoder: texts to vectors with a Hugging Face model. Never reads the log, never decides what to encode."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streaming.errors import EncoderError
from training.content.language_model import find, load
from training.content.precision import Choice, Computed, best, resolve
from training.content.precision_race import Contender, race
from training.settings import BUCKET_STEP, EncoderConfig, Precision

if TYPE_CHECKING:
    import torch

WARM_UP_TEXTS = 32
RATE_MEMORY_S = 10.0  # busy seconds after which a measured rate has lost most of its weight


PROBED_ROWS = 16  # of full length; four times as many tokens as any kernel that was seen to differ
MEASURED_BATCH = 8  # texts that come together while some tens of rooms are live
MEASURED_TEXT = "what an opening that was, does anybody know how to do it, again please, he won it twice " * 4


class TextEncoder:
    """A Hugging Face model that turns texts into unit vectors.

    It pools by the mean for encoders, and by the last token for causal language models. A text's vector depends on
    the text alone, bit for bit. To that end a text is padded to a bucket that its own token count chooses, always
    with at least one padded column, so that every batch takes the same path through the attention. A text of white
    space alone has the zero vector. Sets torch's thread count for its process.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Loads the model. Raises EncoderError where it does not load."""
        import torch  # noqa: PLC0415  only who encodes needs it: half a gigabyte and seconds at the start

        self._config = config
        self._device = _device()
        model = find(config)
        self.choice = _choice(config, model.name, self._device)  # of a precision, and why
        self._dtype = torch.bfloat16 if self.choice.precision == "bf16" else torch.float32
        if self._device == "cpu":
            torch.set_num_threads(config.threads)
        self._prefix, self._query_prefix = model.prefix, model.query_prefix
        self._tokenizer, self._model, self._last_token = load(model.location, self._dtype, self._device)
        self._pad_id = next(
            (i for i in (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id) if i is not None), 0
        )
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, NDArray[np.float16]] = OrderedDict()
        self._busy_s = self._encoded = 0.0
        self.version: str = _version(model.name, self.choice, config)
        self.dimension: int = model.dimension(int(self._model.config.hidden_size))
        self.cache_hits = 0
        self._least_tokens = 0
        if self._dtype == torch.bfloat16 and self._device == "cpu" and torch.cpu._is_amx_tile_supported():
            self._least_tokens = self._steady_tokens()
        self.encode([f"warm up number {i} of the encoder before the first chat arrives" for i in range(WARM_UP_TEXTS)])

    def _steady_tokens(self) -> int:
        """The fewest tokens of a batch with which a text's bytes do not depend on the other texts, measured.

        With AMX the kernels for few rows add up in another order: seen below 384 tokens with MiniLM, on torch 2.15.
        """
        length, rows = self._config.max_tokens, min(self._config.batch_rows, PROBED_ROWS)
        ids = [[1_000 + 37 * row + 11 * at for at in range(length - 1)] for row in range(self._config.batch_rows)]
        vocabulary = int(self._model.config.vocab_size)
        texts = [[token % vocabulary for token in text] for text in ids]
        whole_BD = self._forward(texts, length)
        other = [n for n in range(1, rows) if not np.array_equal(self._forward(texts[:n], length), whole_BD[:n])]
        return (max(other) + 1) * length if other else 0

    @property
    def texts_per_s(self) -> float:
        """The recent rate in texts per busy second; cached texts do not count."""
        return self._encoded / self._busy_s if self._busy_s else 0.0

    def measure(self, seconds: float) -> float:
        """The rate in texts per second of this machine now, for texts of full length in small batches.

        seconds: how long to measure, by the wall clock, so that the load of other processes counts. Caches nothing.
        """
        began_s, done = time.perf_counter(), 0
        with self._lock:
            while (took_s := time.perf_counter() - began_s) < seconds or not done:
                texts = [f"{done + row} " + MEASURED_TEXT for row in range(MEASURED_BATCH)]
                self._encode_missing({_key(text): text for text in texts})
                done += len(texts)
        return done / max(took_s, 1e-6)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Vectors of N texts of rooms, float16 [N, D], of unit length; zeros for an empty text.

        Any thread may call; calls run one at a time. Raises EncoderError where the model fails.
        """
        return self.encode_prefixed([self.as_passage(text) for text in texts])

    def as_passage(self, text: str) -> str:
        """A text of a room with what the model wants before it; a text of white space alone as it is."""
        return self._prefix + text if text.strip() else text

    def as_query(self, text: str) -> str:
        """A text that somebody asks with, with what the model wants before it."""
        return self._query_prefix + text if text.strip() else text

    def encode_prefixed(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """As `encode`, of texts that are complete: each came from `as_passage` or `as_query`."""
        with self._lock:
            keys = [_key(text) for text in texts]
            missing: dict[bytes, str] = {}
            for key, text in zip(keys, texts, strict=True):
                if key in self._cache:
                    self._cache.move_to_end(key)
                    self.cache_hits += 1
                else:
                    missing[key] = text
            fresh = self._encode_missing(missing) if missing else {}
            vectors_ND = np.empty((len(texts), self.dimension), np.float16)
            for row, key in enumerate(keys):
                vectors_ND[row] = fresh[key] if key in fresh else self._cache[key]
            self._remember(fresh)
            return vectors_ND

    def _remember(self, fresh: dict[bytes, NDArray[np.float16]]) -> None:
        self._cache.update({key: vector_D for key, vector_D in fresh.items() if np.isfinite(vector_D).all()})
        while len(self._cache) > self._config.cached_texts:
            self._cache.popitem(last=False)

    def _encode_missing(self, missing: dict[bytes, str]) -> dict[bytes, NDArray[np.float16]]:
        started = time.perf_counter()
        found: dict[bytes, NDArray[np.float16]] = {}
        texts = {key: utf8(text) for key, text in missing.items() if text.strip()}
        for key in missing.keys() - texts.keys():
            found[key] = np.zeros(self.dimension, np.float16)
        for length, rows in self._buckets(texts).items():
            for at in range(0, len(rows), self._config.batch_rows):
                chunk = rows[at : at + self._config.batch_rows]
                vectors_BD = self._forward([ids for _, ids in chunk], length)
                found.update((key, vectors_BD[i].copy()) for i, (key, _) in enumerate(chunk))
        self._measure(len(missing), time.perf_counter() - started)
        return found

    def _buckets(self, texts: dict[bytes, str]) -> dict[int, list[tuple[bytes, list[int]]]]:
        buckets: dict[int, list[tuple[bytes, list[int]]]] = {}
        if not texts:
            return buckets
        encoded = self._tokenizer(list(texts.values()), truncation=True, max_length=self._config.max_tokens - 1)
        for key, ids in zip(texts, encoded["input_ids"], strict=True):
            length = min((len(ids) // BUCKET_STEP + 1) * BUCKET_STEP, self._config.max_tokens)
            buckets.setdefault(length, []).append((key, ids or [self._pad_id]))
        return buckets

    def _forward(self, rows: list[list[int]], length: int) -> NDArray[np.float16]:
        """One batch of texts of one bucket. float16 [B, D]."""
        # A matrix library chooses its kernel by the number of rows: on a GPU every batch has the same, on a processor
        # at least so many that the kernel is that of a full one.
        least = self._config.batch_rows if self._device == "cuda" else -(-self._least_tokens // length)
        height = max(len(rows), min(least, self._config.batch_rows))
        ids_BL = np.full((height, length), self._pad_id, np.int64)
        mask_BL = np.zeros((height, length), np.int64)
        mask_BL[:, 0] = 1  # a row of padding alone would divide by zero
        for row, ids in enumerate(rows):
            ids_BL[row, : len(ids)] = ids
            mask_BL[row, : len(ids)] = 1
        try:
            import torch  # noqa: PLC0415

            with torch.inference_mode():
                mask = torch.from_numpy(mask_BL).to(self._device)
                ids_tensor = torch.from_numpy(ids_BL).to(self._device)
                hidden = self._model(input_ids=ids_tensor, attention_mask=mask).last_hidden_state.float()
                pooled = pool(hidden, mask, self._last_token)[:, : self.dimension]
                unit = torch.nn.functional.normalize(pooled, dim=1).half().cpu().numpy()
        except RuntimeError as err:
            raise EncoderError(f"encoder {self.version} failed on {len(rows)} texts of {length} tokens: {err}") from err
        vectors: NDArray[np.float16] = unit[: len(rows)]
        return vectors

    def _measure(self, texts: int, busy_s: float) -> None:
        keep = max(0.0, 1.0 - busy_s / RATE_MEMORY_S)
        self._encoded = self._encoded * keep + texts
        self._busy_s = self._busy_s * keep + busy_s


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def utf8(text: str) -> str:
    """A text that any tokenizer takes: JSON may carry half a surrogate pair, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def pool(hidden: torch.Tensor, mask: torch.Tensor, last_token: bool) -> torch.Tensor:
    """Vectors [B, D] of texts, not of unit length, from the states of their tokens [B, L, D]. mask: 0 where padded."""
    import torch  # noqa: PLC0415

    lengths = mask.sum(dim=1)
    if last_token:
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1]
    return (hidden * mask.unsqueeze(-1)).sum(dim=1) / lengths.unsqueeze(-1)


class LazyTextEncoder:
    """A text encoder that loads its model at the first text. Its version and dimension are known before.

    Where this host's precision is to be measured still, that loads the model for some seconds.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Reads the model's dimension. Raises EncoderError, at the latest at the first text."""
        self._config = config
        self._loaded: TextEncoder | None = None
        model = find(config)
        try:
            hidden_size = int(json.loads((Path(model.location) / "config.json").read_bytes())["hidden_size"])
        except (OSError, ValueError, KeyError, TypeError):  # it is in no folder, or says it otherwise
            self.dimension, self.version = self._encoder().dimension, self._encoder().version
        else:
            self.dimension = model.dimension(hidden_size)
            self.version = _version(model.name, _choice(config, model.name, _device()), config)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Vectors of N texts, float16 [N, D], as `TextEncoder.encode`. Raises EncoderError."""
        return self._encoder().encode(texts)

    def _encoder(self) -> TextEncoder:
        if self._loaded is None:
            self._loaded = TextEncoder(self._config)
        return self._loaded


def _device() -> str:
    import torch  # noqa: PLC0415

    return "cuda" if torch.cuda.is_available() else "cpu"


def _version(name: str, choice: Choice, config: EncoderConfig) -> str:
    return f"{name}/{choice.precision}/{config.max_tokens}"


def uses_bf16(precision: Precision, device: str) -> bool:
    """Whether a precision means bf16 on a device, by what the processor can do and nothing measured."""
    import torch  # noqa: PLC0415

    native = device == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return precision == "bf16" or (precision == "auto" and native)


def measure_precision(config: EncoderConfig) -> Choice:
    """Measures the precisions anew, and keeps the choice for later starts. Some seconds.

    What was set with `encoder.precision` goes on being obeyed. Raises EncoderError: the model does not load, or the
    choice cannot be kept.
    """
    return _choice(config, find(config).name, _device(), anew=True)


def _choice(config: EncoderConfig, name: str, device: str, *, anew: bool = False) -> Choice:
    native = uses_bf16("auto", device)
    if device == "cuda" and config.precision == "auto":
        return Choice(precision="bf16", why="not measured: a GPU")
    candidates: tuple[Computed, ...] = ("bf16",) if native and device == "cpu" else ()
    return resolve(config, name, candidates, lambda: _measured(config, candidates), anew=anew)


def _measured(config: EncoderConfig, candidates: Sequence[Computed]) -> Choice:
    """Loads the model once for each precision, and lets them race. Leaves torch's thread count as it was."""
    import torch  # noqa: PLC0415

    threads = torch.get_num_threads()
    try:
        contenders: dict[Computed, Contender] = {
            precision: TextEncoder(replace(config, precision=precision, cached_texts=1))
            for precision in ("fp32", *candidates)
        }
        return best(race(contenders))
    finally:
        torch.set_num_threads(threads)

"""In which precision an encoder computes on a host: measured once, kept, obeyed from then on. Never loads a model.

A restart must not change the version of vectors, so no start races anew: what was measured stands in a file of
`tidecast/precision` in XDG_CACHE_HOME, or in ~/.cache. Where it cannot be kept it is not measured either.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from streaming.errors import EncoderError
from streaming.machine.private_folder import make_private
from training.content.unpacked_folder import cache_folder
from training.settings import EncoderConfig

LOGGER = logging.getLogger(__name__)

Computed = Literal["bf16", "fp32"]

LEAST_GAIN = 1.1  # times the speed of fp32; less is within what a busy machine makes of a tie
LEAST_COSINE = 0.99  # to fp32's vector of the same text, of every text
PROCESSORS = Path("/proc/cpuinfo")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one precision did. texts_per_s: per second of processor time. cosine: the least to fp32's.

    steady: whether a text's bytes were the same in every batch.
    """

    precision: Computed
    texts_per_s: float
    cosine: float
    steady: bool


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A precision, and why. measured: every precision that was measured, fp32 first; empty where none was."""

    precision: Computed
    why: str
    measured: tuple[Measured, ...] = ()


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str  # so that a file that came from elsewhere is known for one
    choice: Choice


def best(measured: Sequence[Measured]) -> Choice:
    """The fastest that is like fp32, steady and clearly faster; else fp32. measured: fp32 first."""
    fp32, *others = measured
    sound = [one for one in others if one.steady and one.cosine >= LEAST_COSINE]
    faster = [one for one in sound if one.texts_per_s >= LEAST_GAIN * fp32.texts_per_s]
    if faster:
        chosen = max(faster, key=lambda one: one.texts_per_s)
        why = f"measured: {_against(chosen, fp32)}"
        return Choice(precision=chosen.precision, why=why, measured=tuple(measured))
    why = "; ".join(f"{one.precision} {_refused(one, fp32)}" for one in others)
    return Choice(precision="fp32", why=f"measured: {why}", measured=tuple(measured))


def _refused(one: Measured, fp32: Measured) -> str:
    if not one.steady:
        return "gives a text other bytes in another batch"
    if one.cosine < LEAST_COSINE:
        return f"is unlike fp32 (cosine {one.cosine:.4f})"
    return f"is not clearly faster ({_against(one, fp32)})"


def _against(one: Measured, fp32: Measured) -> str:
    ratio = one.texts_per_s / fp32.texts_per_s
    return f"{ratio:.2f} x fp32, {one.texts_per_s:.0f} against {fp32.texts_per_s:.0f} texts/s, cosine {one.cosine:.4f}"


def resolve(
    config: EncoderConfig,
    model: str,
    candidates: Sequence[Computed],
    measure: Callable[[], Choice],
    *,
    anew: bool = False,
) -> Choice:
    """The choice for this host: what was set, else what is kept, else what `measure` finds, which is then kept.

    model: its part of the encoder version. candidates: what the processor does natively beside fp32, the best first;
    with none there is nothing to measure. anew: measures all the same where one is kept, and raises EncoderError
    where it cannot be kept. Processes may call it at once: one measures, the others wait and take its result.
    """
    if config.precision != "auto" and not anew:
        return Choice(
            precision=config.precision,
            why="not measured: encoder.precision, the live version or several hosts ask for it",
        )
    if not candidates:
        return Choice(precision="fp32", why="not measured: this processor does no other natively")
    key = _key(config, model)
    place = cache_folder().parent / "precision" / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"
    try:
        if not anew and (kept := _read(place, key)) is not None:
            return kept
        make_private(place.parent)
        with _alone(place):
            if not anew and (kept := _read(place, key)) is not None:  # another process was first
                return kept
            return _measured(place, key, measure)
    except OSError as err:
        if anew:
            raise EncoderError(f"the choice cannot be kept: {err}; XDG_CACHE_HOME names another place") from err
        LOGGER.warning(
            "precision_not_kept model=%s took=%s: %s; XDG_CACHE_HOME names another place", model, candidates[0], err
        )
        return Choice(precision=candidates[0], why="not measured: the cache folder cannot be written")


def _measured(place: Path, key: str, measure: Callable[[], Choice]) -> Choice:
    """Measures and keeps. The file is made before, for a choice that is not kept would be another's at each start."""
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            LOGGER.info("precision_measuring place=%s", place)
            choice = measure()
            file.write(msgspec.json.encode(_Kept(key=key, choice=choice)))
        Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)
    LOGGER.info("precision_measured precision=%s why=%s", choice.precision, choice.why)
    return choice


def _read(place: Path, key: str) -> Choice | None:
    """The choice that is kept; None where there is none, or none of ours. Raises OSError: it cannot be read."""
    try:
        kept = msgspec.json.decode(place.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as err:
        LOGGER.warning("precision_file_broken place=%s: %s; measured anew", place, err)
        return None
    if kept.key != key:
        LOGGER.warning("precision_file_foreign place=%s: of another model or machine; measured anew", place)
        return None
    return kept.choice


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """A lock beside the file; the kernel takes it from a process that ends."""
    with place.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(config: EncoderConfig, model: str) -> str:
    """All that speed and rounding depend on: the model, its length and threads, torch, and the processor."""
    torch = importlib.metadata.version("torch")
    return f"{model} tokens={config.max_tokens} threads={config.threads} torch={torch} {_processor()}"


def _processor() -> str:
    """The first processor's name and a digest of what it can do; of the platform where the kernel does not say."""
    try:
        lines = PROCESSORS.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = " ".join(sorted((said.get("flags") or said.get("Features") or "").split()))
    name = said.get("model name") or platform.machine()
    return f"{name} {hashlib.blake2b(flags.encode(), digest_size=6).hexdigest()}"

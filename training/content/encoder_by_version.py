"""From an encoder version back to the settings that make it, and the cache of folders fetched for it. Never loads one.

`ours@1f0c3a52/bf16/64` names all that vectors depend on: model, digest of its files, precision, number of tokens.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from streaming.errors import EncoderError, EncoderUnknown, TidecastError
from streaming.machine.private_folder import make_private
from training.content.language_model import SHORT_NAMES, find, name_of
from training.content.unpacked_folder import cache_folder
from training.settings import BUCKET_STEP, EncoderConfig, Precision

KNOWN_PRECISIONS = tuple(name for name in get_args(Precision) if name != "auto")
VERSION = re.compile(r"([^/]+)/([^/]+)/([0-9]{1,6})")
FOLDER = re.compile(r"([^./\\@+\x00-\x1f][^/\\@+\x00-\x1f]{0,99})@[0-9a-f]{8}")  # a folder's name, never hidden or ".."

Fetch = Callable[[str, Path], None]
"""Writes the files of the encoder NAME@digest into a folder, which is there. Blocks. Raises TidecastError."""


@dataclass(frozen=True, slots=True)
class EncoderVersion:
    """An encoder version in its parts."""

    name: str
    precision: Precision
    max_tokens: int


def parts_of(version: str) -> EncoderVersion:
    """The parts of a version. Raises EncoderUnknown: it is none that this build makes."""
    found = VERSION.fullmatch(version)
    precision = next((one for one in KNOWN_PRECISIONS if found and found[2] == one), None)
    if found is None or precision is None or int(found[3]) < BUCKET_STEP:
        raise EncoderUnknown(
            f"{version[:200]!r} is no encoder that this build makes: MODEL/PRECISION/TOKENS, with one of "
            f"{', '.join(KNOWN_PRECISIONS)}"
        )
    return EncoderVersion(found[1], precision, int(found[3]))


def folder_name(version: str) -> str | None:
    """The NAME@digest by which the registry keeps the files of an encoder; None where it needs none, or cannot help.

    What a package brings is on every host. A prefix of the settings (`+...`) is not known from the files.
    """
    name = version.partition("/")[0]
    return name if FOLDER.fullmatch(name) else None


def config_of(version: str, own: EncoderConfig, fetch: Fetch) -> EncoderConfig:
    """The settings that make the encoder of a version: for the model of `own`, one of a package, or one fetched.

    Blocks while a folder is fetched; it stays in the cache. Raises EncoderUnknown: it cannot be had here, and why.
    """
    parts = parts_of(version)
    same = replace(own, precision=parts.precision, max_tokens=parts.max_tokens)
    if find(own).name == parts.name:
        return same
    plain = replace(same, prefix="", query_prefix="")
    short = next((short for short, about in SHORT_NAMES.items() if about.version == parts.name), None)
    if short is not None:
        return replace(plain, model=short)
    if folder_name(version) is None:
        why = (
            "it has a prefix of its own, which only the settings of who made it know: encoder.prefix"
            if "+" in parts.name
            else "only models of packages and of folders are found by their names"
        )
        raise EncoderUnknown(f"the encoder {version} is neither that of encoder.model nor known by its name: {why}")
    try:
        return replace(plain, model=str(kept_folder(parts.name, fetch)))
    except (TidecastError, OSError) as err:
        raise EncoderUnknown(f"the encoder {version} cannot be had: {err}") from err


def kept_folder(name: str, fetch: Fetch) -> Path:
    """The folder with the model NAME@digest in the cache, fetched where it is not there or damaged.

    It appears whole or not at all; processes may ask for it at once. Raises EncoderError, OSError, and what `fetch`
    raises.
    """
    base = name.rpartition("@")[0]
    for cache in (cache_folder(), _temporary_cache()):
        if (cache / name).is_dir() and name_of(str(cache / name / base)) == name:
            return cache / name / base
    with _new_folder(name) as fresh:
        (fresh / base).mkdir()
        fetch(name, fresh / base)
        if (made := name_of(str(fresh / base))) != name:
            raise EncoderError(f"the files fetched for {name} are those of {made}; they are damaged, or another's")
        return _placed(fresh, fresh.parent / name) / base


@contextlib.contextmanager
def _new_folder(name: str) -> Iterator[Path]:
    """An empty folder in the cache, which is gone afterwards unless it was given its name. Raises OSError."""
    try:
        make_private(cache_folder())
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_folder()))
    except OSError:  # as in a pod whose disk is read-only
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=_own(_temporary_cache())))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _placed(fresh: Path, place: Path) -> Path:
    """Gives a folder its name. What was there is damaged, or the same: another process was first."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        fresh.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    return place


def _temporary_cache() -> Path:
    return Path(tempfile.gettempdir()) / f"tidecast-encoders-{os.getuid()}"


def _own(folder: Path) -> Path:
    """The folder, made for its owner alone. Raises OSError: it is somebody else's."""
    make_private(folder)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; XDG_CACHE_HOME names another place")
    return folder

"""The folder that a package's model is unpacked into, once on each host, whole or not at all. Knows no format."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from streaming.errors import EncoderError
from streaming.machine.private_folder import make_private

Unpack = Callable[[bytes, Path], None]
"""Writes the Hugging Face folder of a file's bytes into a folder, which is there. Raises EncoderError, OSError."""


def unpacked_folder(name: str, file: Path, known: Mapping[str, str], unpack: Unpack) -> Path:
    """The folder with the unpacked model of a file, made at the first call.

    known: by SHA-256, the releases whose file is unpacked. Processes may call it at once. Raises EncoderError: the file
    is not of a known release, or damaged, or the folder cannot be written.
    """
    try:
        packed = file.read_bytes()
    except OSError as err:
        raise EncoderError(f"{name} cannot be read: {err}") from err
    digest = hashlib.sha256(packed).hexdigest()
    if digest not in known:
        raise EncoderError(
            f"{file} is none of the files that are known here ({', '.join(known.values())}): install one of these, or "
            "set encoder.model to a folder with a Hugging Face model"
        )
    folder = cache_folder() / f"{name}-{digest[:12]}"
    if not folder.exists():
        _write(name, packed, unpack, folder)
    return folder


def cache_folder() -> Path:
    """Where unpacked models are kept: `tidecast/encoders` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tidecast" / "encoders"


def _write(name: str, packed: bytes, unpack: Unpack, folder: Path) -> None:
    """Writes the folder, which appears whole or not at all."""
    try:
        make_private(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as err:
        raise EncoderError(f"{name} cannot be unpacked: {err}; XDG_CACHE_HOME names another place") from err
    try:
        unpack(packed, temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was first
                raise
    except OSError as err:
        raise EncoderError(f"{name} cannot be unpacked into {folder}: {err}") from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

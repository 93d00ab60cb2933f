"""Makes folders that only their owner can look into, because they hold chat and secrets. Never touches files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

PRIVATE = 0o700
STATE_FOLDER = ".tidecast"  # holds everything that a checkout or an installation keeps beside itself


def make_private(folder: Path) -> None:
    """Makes the folder and its missing parents, all of them for the owner alone.

    An existing folder is closed to others if it is ours, and so is the `.tidecast` that it lies in. Shared folders
    (`/tmp`, a home, the current folder) and those of other users stay as they are.
    Raises OSError.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  resolve() would follow a link that leads to another disk
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(mode=PRIVATE, exist_ok=True)
    for place in (folder, *(parent for parent in folder.parents if parent.name == STATE_FOLDER)):
        _close(place)


def _close(folder: Path) -> None:
    found = folder.stat()
    loose = stat.S_IMODE(found.st_mode) & 0o077
    if loose and found.st_uid == os.getuid() and not _shared(folder, found.st_mode):
        folder.chmod(stat.S_IMODE(found.st_mode) & ~0o077)


def _shared(folder: Path, mode: int) -> bool:
    here = Path.cwd()
    return bool(mode & stat.S_ISVTX) or folder.resolve() in (here, *here.parents, Path.home())

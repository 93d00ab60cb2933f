"""API keys, in a file: who they belong to and what each may do. Never holds a key itself, never answers a request.

Only a key's SHA-256 is kept. That is enough, because a key is 32 random bytes and no password: nobody guesses it, so
there is nothing that a slow hash would make slower.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from streaming.errors import ConfigError

LOGGER = logging.getLogger(__name__)

Scope = Literal["recommend", "ingest", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)

PREFIX = "tc_"  # by which a key that was committed or pasted somewhere is found
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
LOOK_S = 2.0  # between two looks at the file: a key that was taken back is refused so soon
HEAD = "# Keys of the API. `tidecast keys` writes this file. A key itself is nowhere in it.\n"


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the file says of a key. requests_per_s: of the whole installation, 0 for no limit."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    requests_per_s: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key: the name of whom it belongs to, and what it may do."""

    name: str
    digest: bytes
    scopes: frozenset[str]
    requests_per_s: float


def new_key() -> str:
    """A new key, to be given to its owner. Only its digest is kept."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """A key's SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def read_entries(path: Path) -> Mapping[str, Entry]:
    """The file's entries by name. Raises ConfigError."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"the keys {path} cannot be read: {err.strerror}; `tidecast keys create` makes them") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"the keys {path} are not TOML: {err}") from err
    for name in found:
        if not NAME.fullmatch(name):
            raise ConfigError(f"the keys {path}: {name[:80]!r} is no name; use letters, digits, '.', '_' and '-'")
    try:
        return msgspec.convert(found, dict[str, Entry])
    except msgspec.ValidationError as err:
        raise ConfigError(f"the keys {path}: {err}; a key has sha256, scopes and maybe requests_per_s") from err


def write_entries(path: Path, entries: Mapping[str, Entry]) -> None:
    """Replaces the file in one step, readable by its owner alone. Raises ConfigError."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(HEAD + "".join(_as_toml(name, entry) for name, entry in entries.items()))
        made.replace(path)
    except OSError as err:
        raise ConfigError(f"the keys {path} cannot be written: {err.strerror}") from err


def _as_toml(name: str, entry: Entry) -> str:
    scopes = ", ".join(f'"{scope}"' for scope in entry.scopes)
    rate = f"requests_per_s = {entry.requests_per_s}\n" if entry.requests_per_s else ""
    quoted = f'"{name}"' if "." in name else name
    return f'\n[{quoted}]\nsha256 = "{entry.sha256}"\nscopes = [{scopes}]\n{rate}'


class KeyRing:
    """The keys of a file, kept current while it changes. For one event loop."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigError: the file cannot be read, or holds no key."""
        self._path = path
        self._now_s = now_s
        self._seen = self._stamp()
        self._keys = _by_digest(read_entries(path))
        if not self._keys:
            raise ConfigError(f"the keys {path} hold no key; `tidecast keys create NAME` adds one")
        self._looked_s = now_s()

    def find(self, key: str) -> ApiKey | None:
        """The key's entry, None where there is none."""
        if self._now_s() - self._looked_s >= LOOK_S:
            self._look()
        digest = digest_of(key)
        found = self._keys.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    def _look(self) -> None:
        """Reads the file again where it has changed. One that cannot be read changes nothing, and is logged."""
        self._looked_s = self._now_s()
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = _by_digest(read_entries(self._path))
        except ConfigError as err:
            LOGGER.error("%s; the keys from before stay in force", err)  # noqa: TRY400  the cause is in the message

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def _by_digest(entries: Mapping[str, Entry]) -> dict[bytes, ApiKey]:
    return {key.digest: key for key in _keys_of(entries)}


def _keys_of(entries: Mapping[str, Entry]) -> Iterable[ApiKey]:
    for name, entry in entries.items():
        yield ApiKey(name, bytes.fromhex(entry.sha256), frozenset(entry.scopes), entry.requests_per_s)

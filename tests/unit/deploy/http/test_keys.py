"""The file of API keys: what is in it, how it is read while it changes, and that no key is."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from deploy.http.keys import LOOK_S, Entry, KeyRing, digest_of, new_key, read_entries, write_entries
from streaming.errors import ConfigError


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def entry(key: str, *scopes: str, rate: float = 0.0) -> Entry:
    return Entry(sha256=digest_of(key).hex(), scopes=tuple(scopes or ("recommend",)), requests_per_s=rate)  # type: ignore[arg-type]


def test_what_is_written_is_read_and_only_its_owner_may(tmp_path: Path) -> None:
    path = tmp_path / "below" / "keys.toml"
    entries = {"shop": entry("one"), "a.b-c_d": entry("two", "ingest", "admin", rate=2.5)}
    write_entries(path, entries)
    assert read_entries(path) == entries
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["keys.toml"]


def test_a_key_is_found_by_itself_and_is_nowhere_in_the_file(tmp_path: Path) -> None:
    path, key = tmp_path / "keys.toml", new_key()
    assert key.startswith("tc_")
    assert len({new_key() for _ in range(100)}) == 100
    write_entries(path, {"shop": entry(key)})
    ring = KeyRing(path)
    found = ring.find(key)
    assert found is not None
    assert (found.name, found.scopes) == ("shop", {"recommend"})
    assert key not in path.read_text()
    for wrong in ("", key[:-1], key + "x", digest_of(key).hex(), "\x00", "ключ"):
        assert ring.find(wrong) is None


def test_a_key_that_is_taken_back_or_added_counts_at_the_next_look(tmp_path: Path) -> None:
    path, ticks = tmp_path / "keys.toml", Ticks()
    write_entries(path, {"old": entry("one")})
    ring = KeyRing(path, ticks)
    write_entries(path, {"new": entry("two")})
    assert ring.find("one") is not None
    ticks.now_s += LOOK_S
    assert (ring.find("one"), ring.find("two") is not None) == (None, True)


@pytest.mark.parametrize("breaks", ["removed", "not TOML", "an unknown field"])
def test_a_file_that_breaks_while_it_is_in_use_changes_nothing(
    tmp_path: Path, breaks: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, ticks = tmp_path / "keys.toml", Ticks()
    write_entries(path, {"shop": entry("one")})
    ring = KeyRing(path, ticks)
    if breaks == "removed":
        path.unlink()
    else:
        path.write_text("[[[" if breaks == "not TOML" else '[shop]\nsha = "x"\n')
    ticks.now_s += LOOK_S
    with caplog.at_level(logging.ERROR):
        assert ring.find("one") is not None
        ticks.now_s += LOOK_S
        assert ring.find("one") is not None
    assert caplog.text.count("stay in force") == 1
    write_entries(path, {"shop": entry("three")})
    ticks.now_s += LOOK_S
    assert ring.find("one") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "hold no key"),
        ("x = 1", "keys.toml"),
        ('[shop]\nsha256 = "00"\nscopes = ["recommend"]', "sha256"),
        ('[shop]\nsha256 = "' + "0" * 64 + '"\nscopes = ["all"]', "all"),
        ('[shop]\nsha256 = "' + "0" * 64 + '"\nscopes = []', "scopes"),
        ('[shop]\nsha256 = "' + "0" * 64 + '"\nscopes = ["admin"]\nrequests_per_s = -1', "requests_per_s"),
        ('["../x"]\nsha256 = "' + "0" * 64 + '"\nscopes = ["admin"]', "no name"),
        ("\xff", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=said):
        KeyRing(path)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tidecast keys create"):
        KeyRing(tmp_path / "keys.toml")

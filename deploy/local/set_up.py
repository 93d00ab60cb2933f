"""Makes .venv: the locked packages and Tidecast itself. Needs Python 3.11 to 3.13 and nothing else.

    python deploy/local/set_up.py [--dev]
    python deploy/local/set_up.py --uv pip compile ...      uv itself, with the same settings

`make` calls it. The packages come through uv, which is taken from the PATH, or else installed into .uv. They come from
where the user's settings say: uv's own, or where there are none, pip's. All modules are compiled to bytecode here: each
process of the system loads thousands, and where Python may not write, as in many containers, would compile them at
each start.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
VENV, UV_VENV = ROOT / ".venv", ROOT / ".uv"
PYTHON = VENV / "bin" / "python"
LOCKS = {False: ROOT / "requirements.lock", True: ROOT / "requirements-dev.lock"}
TORCH = "torch"
COMPILED = "--compile-bytecode"
UV_SETTINGS = (Path("~/.config/uv/uv.toml"), Path("/etc/uv/uv.toml"))

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)
_VIA = re.compile(r"^    #   ([A-Za-z0-9][A-Za-z0-9_.-]*)", re.MULTILINE)
_ONE_VIA = re.compile(r"^    # via ([A-Za-z0-9][A-Za-z0-9_.-]*)", re.MULTILINE)
_SETTING = re.compile(r"^[^.=]*\.([a-z-]+)=(.*)$")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="with what tests, lint and evaluate need")
    parser.add_argument("--uv", nargs=argparse.REMAINDER, metavar="WORD", help="only run uv with these words")
    args = parser.parse_args()
    if not (3, 11) <= sys.version_info < (3, 14):
        print(f"Python {sys.version.split()[0]} runs this; 3.11, 3.12 or 3.13 is needed", file=sys.stderr)
        return 2
    began_s = time.monotonic()
    environ = environment(os.environ, pip_settings())
    try:
        uv = find_uv()
        if args.uv:
            _run([uv, *args.uv], environ)
            return 0
        make_venv(uv, VENV, environ)
        install(uv, PYTHON, LOCKS[args.dev], environ, os.environ.get("TORCH_INDEX_URL", ""))
        install_checkout(uv, PYTHON, ROOT, environ)
        compile_checkout(PYTHON, ROOT, environ)
    except NoVenvModule:
        print("This Python has no venv module (on Debian and Ubuntu: apt install python3-venv)", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as err:
        words = " ".join(map(str, err.cmd[:3]))  # an index's URL may hold a password
        print(f"`{words} ...` failed; what it says stands above", file=sys.stderr)
        return err.returncode or 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"Installed in {time.monotonic() - began_s:.0f} s")
    return 0


def make_venv(uv: str, venv: Path, environ: Mapping[str, str]) -> None:
    """Makes a virtual environment of this Python, unless a working one exists. Raises CalledProcessError."""
    python = venv / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv], environ)


def install(uv: str, python: Path, lock: Path, environ: Mapping[str, str], torch_index: str) -> None:
    """Makes the environment of `python` match the lock file exactly. Packages that match stay as they are.

    torch_index: another source for torch, with another build and so without a hash; "": the source of all packages.
    Raises CalledProcessError: a package is not available, or has another hash.
    """
    text = lock.read_text()
    origin = f", torch from {urlsplit(torch_index).hostname}" if torch_index else ""
    print(f"Installing {len(_PIN.findall(text))} packages{origin}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if torch_index:
            lock = Path(folder, lock.name)
            lock.write_text(without_torch(text))
        _run([uv, "pip", "sync", COMPILED, "--python", python, "--require-hashes", lock], environ)
    if torch_index:
        pin = f"{TORCH}=={dict(_PIN.findall(text))[TORCH]}"
        how = (COMPILED, "--no-deps", "--default-index", torch_index)
        _run([uv, "pip", "install", *how, "--python", python, pin], environ)


def install_checkout(uv: str, python: Path, root: Path, environ: Mapping[str, str]) -> None:
    """Installs the checkout itself, with the build packages that the lock file brought. Raises CalledProcessError."""
    how = ("--quiet", "--no-deps", "--no-build-isolation", "--offline")
    _run([uv, "pip", "install", *how, "--python", python, "--editable", root], environ)


def compile_checkout(python: Path, root: Path, environ: Mapping[str, str]) -> None:
    """Compiles the checkout's modules to bytecode, as uv does those of packages. Raises CalledProcessError."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [root / name for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    _run([python, "-m", "compileall", "-q", "-j", "0", *folders], environ)


def _run(words: Sequence[str | Path], environ: Mapping[str, str]) -> None:
    subprocess.run(words, env=dict(environ), check=True)


class NoVenvModule(Exception):
    """Raised when this Python cannot make a virtual environment to install uv into."""


def find_uv() -> str:
    """The uv on the PATH, else one in .uv, installed if missing. Raises CalledProcessError, NoVenvModule."""
    if (found := shutil.which("uv")) is not None:
        return found
    ours = UV_VENV / "bin" / "uv"
    if not ours.exists():
        if importlib.util.find_spec("ensurepip") is None:
            raise NoVenvModule
        print("Getting uv, into .uv", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", UV_VENV], check=True)
        subprocess.run([UV_VENV / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return str(ours)


def without_torch(lock: str) -> str:
    """The lock file without torch and the packages that only torch needs, such as CUDA's libraries."""
    return without(lock, {TORCH})


def without(lock: str, packages: Collection[str], kept: Collection[str] = ()) -> str:
    """The lock file without these packages and those that only they need. kept: stay, whoever needs them."""
    blocks = dict(_blocks(lock))
    gone = set(packages)
    while more := {name for name, block in blocks.items() if name not in gone and (via := _via(block)) and via <= gone}:
        if not (more := more - set(kept)):
            break
        gone |= more
    return "".join(block for name, block in blocks.items() if name not in gone)


def only(lock: str, packages: Collection[str]) -> str:
    """The lock file of these packages and those that they need."""
    blocks = dict(_blocks(lock))
    kept = set(packages)
    while more := {name for name, block in blocks.items() if name not in kept and _via(block) & kept}:
        kept |= more
    return "".join(block for name, block in blocks.items() if name in kept)


def _blocks(lock: str) -> Iterator[tuple[str, str]]:
    """The packages of a lock file, each with its lines."""
    starts = [match.start() for match in _PIN.finditer(lock)]
    for start, end in zip(starts, [*starts[1:], len(lock)], strict=True):
        block = lock[start:end]
        yield block.partition("==")[0], block


def _via(block: str) -> set[str]:
    """The packages that need this one."""
    return {*_VIA.findall(block), *_ONE_VIA.findall(block)}


def pip_settings(python: str = sys.executable) -> dict[str, str]:
    """The user's settings of pip, from its files and the environment: name → value. Empty where there is no pip."""
    said = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    found = {match[1]: match[2] for line in said.splitlines() if (match := _SETTING.match(line))}
    return {name: str(ast.literal_eval(value)) for name, value in found.items()}


def environment(environ: Mapping[str, str], pip: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv, which does not read pip's settings: they fill in settings that uv lacks."""
    ours = {name: value for name, value in environ.items() if name != "VIRTUAL_ENV"}
    if any(path.expanduser().exists() for path in UV_SETTINGS):
        return ours
    theirs = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(place for place in pip.get("find-links", "").split() if _is_there(place)),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    if theirs["UV_INDEX"]:
        theirs["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip searches; hashes say which package is meant
    if "UV_INDEX_URL" in environ:
        theirs["UV_DEFAULT_INDEX"] = ""
    return {**{name: value for name, value in theirs.items() if value}, **ours}


def _is_there(place: str) -> bool:
    return "://" in place or Path(place).is_dir()


if __name__ == "__main__":
    sys.exit(main())

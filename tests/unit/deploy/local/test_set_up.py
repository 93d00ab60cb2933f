"""Setting up: where packages come from, what is left out for another torch, and a real installation of small wheels."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from deploy.local import set_up

ROOT = Path(__file__).resolve().parents[4]
LOCK = """\
# a header
torch==2.0 \\
    --hash=sha256:aa
    # via
    #   -c requirements.lock
    #   tidecast (pyproject.toml)
nvidia-cublas==1 ; platform_machine != 'arm' \\
    --hash=sha256:bb
    # via
    #   nvidia-cudnn
    #   torch
nvidia-cudnn==1 \\
    --hash=sha256:cc
    # via torch
numpy==3 \\
    --hash=sha256:dd
    # via
    #   faiss-cpu
    #   torch
"""


def test_what_is_there_for_torch_alone_goes_with_it() -> None:
    assert set_up.without_torch(LOCK) == LOCK[LOCK.index("numpy==3") :]


def test_only_a_package_and_what_it_needs_stays() -> None:
    assert set_up.only(LOCK, {"nvidia-cudnn"}) == LOCK[LOCK.index("nvidia-cublas") : LOCK.index("numpy==3")]
    assert set_up.only(LOCK, {"torch"}) == LOCK[LOCK.index("torch==") :]


def test_of_our_own_lock_files_nothing_of_cuda_stays() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        left = set_up.without_torch((ROOT / name).read_text())
        assert "nvidia" not in left
        assert "\ntorch==" not in left
        assert {"numpy", "ray", "faiss-cpu"} <= set(dict(set_up._blocks(left)))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_what_installs_the_checkout_is_locked_as_well(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = dict(set_up._blocks((ROOT / name).read_text()))
    assert set(project["build-system"]["requires"]) <= set(project["dependency-groups"]["build"]) <= set(locked)
    assert all("--hash=sha256:" in block for block in locked.values())


def test_what_pip_was_told_is_told_to_uv(tmp_path: Path) -> None:
    pip = {
        "index-url": "https://mirror/simple",
        "extra-index-url": "https://a/simple\nhttps://b/simple",
        "find-links": f"{tmp_path} /absent/folder",
        "cert": "/etc/cert.pem",
        "trusted-host": "mirror",
    }
    told = set_up.environment({"HOME": "/nowhere", "VIRTUAL_ENV": "/another"}, pip)
    assert told == {
        "HOME": "/nowhere",
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": str(tmp_path),
        "SSL_CERT_FILE": "/etc/cert.pem",
        "UV_INSECURE_HOST": "mirror",
    }


def test_what_uv_was_told_itself_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"UV_INDEX_URL": "https://mine/simple", "SSL_CERT_FILE": "/mine.pem"}
    told = set_up.environment(environ, {"index-url": "https://mirror/simple", "cert": "/etc/cert.pem"})
    assert told == environ
    monkeypatch.setattr(set_up, "UV_SETTINGS", (tmp_path,))
    assert set_up.environment({}, {"index-url": "https://mirror/simple"}) == {}


def test_the_settings_of_pip_are_read_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    python = str(Path(sys.base_prefix, "bin", "python3"))  # an environment made by uv has no pip
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no pip")
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:it's@mirror/simple")
    assert set_up.pip_settings(python)["index-url"] == "https://user:it's@mirror/simple"


def test_without_pip_there_are_no_settings() -> None:
    assert set_up.pip_settings("/bin/false") == {}


def wheel(folder: Path, name: str, version: str) -> str:
    """Writes a wheel with one module and returns its line in a lock file."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def uv() -> str:
    found = shutil.which("uv", path=f"{os.environ['PATH']}:{ROOT / '.uv' / 'bin'}")
    if found is None:
        pytest.skip("uv is neither on the PATH nor in .uv, where make puts it")
    return found


def test_the_lock_file_is_what_is_installed_and_nothing_else(uv: str, tmp_path: Path) -> None:
    links, venv, lock = tmp_path / "links", tmp_path / "venv", tmp_path / "requirements.lock"
    links.mkdir()
    environ = {**os.environ, "UV_FIND_LINKS": str(links), "UV_NO_INDEX": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    python = venv / "bin" / "python"
    left, right = wheel(links, "left_shoe", "1.0"), wheel(links, "right_shoe", "1.0")
    newer = wheel(links, "left_shoe", "2.0.0")  # of another size: bytecode is told apart by size and second

    def said(code: str) -> str:
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()

    set_up.make_venv(uv, venv, environ)
    lock.write_text(left + right)
    set_up.install(uv, python, lock, environ, "")
    compiled = {path.name.partition(".")[0] for path in venv.rglob("*_shoe*.pyc")}
    assert compiled == {"left_shoe", "right_shoe"}, "each process would compile them at each start"
    assert said("import left_shoe, right_shoe; print(left_shoe.version)") == "1.0"

    marker = venv / "marker"
    marker.touch()
    set_up.make_venv(uv, venv, environ)  # one that works is left as it is
    assert marker.exists()
    lock.write_text(newer)
    set_up.install(uv, python, lock, environ, "")
    assert said("import left_shoe; print(left_shoe.version)") == "2.0.0"
    assert said("import right_shoe; print(1)") == ""

    lock.write_text(right.replace("sha256:", "sha256:00")[: len(right) - 2] + "\n")
    with pytest.raises(subprocess.CalledProcessError):
        set_up.install(uv, python, lock, environ, "")
    python.unlink()
    set_up.make_venv(uv, venv, environ)  # one that is broken is made anew
    assert said("print(1)") == "1"


def test_the_checkouts_packages_are_compiled(tmp_path: Path) -> None:
    wheel = '[tool.hatch.build.targets.wheel]\npackages = ["ours"]\n'
    (tmp_path / "pyproject.toml").write_text(wheel)
    for name in ("ours", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shoe.py").write_text("size = 42\n")
    set_up.compile_checkout(Path(sys.executable), tmp_path, {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert [path.parent.parent.name for path in tmp_path.rglob("*.pyc")] == ["ours"]

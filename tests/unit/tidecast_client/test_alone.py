"""A platform can use the client alone: it needs httpx and msgspec, and is typed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import tidecast_client

FOLDER = Path(tidecast_client.__file__).parent
ROOT = FOLDER.parent
# httpx's own needs; `click`, `rich` and the like are its command line, which it loads where they are installed
ALLOWED = {
    *("tidecast_client", "httpx", "msgspec", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi"),
    *(
        "typing_extensions",
        "click",
        "rich",
        "pygments",
        "markdown_it",
        "mdurl",
        "h2",
        "hpack",
        "hyperframe",
        "zstandard",
    ),
    *("brotli", "socksio", "truststore"),
}
LISTED = """
import sys
before = set(sys.modules)
import tidecast_client
tidecast_client.Client("http://127.0.0.1:1").close()
for name in sorted({name.partition(".")[0] for name in set(sys.modules) - before}):
    print(name)
"""


def test_importing_it_imports_nothing_else_of_tidecast(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "tidecast_client", ignore=shutil.ignore_patterns("__pycache__"))
    asked = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{LISTED}"]
    found = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True, env={})
    names = {name.lstrip("_") for name in found.stdout.split()} - {name.lstrip("_") for name in sys.stdlib_module_names}
    assert "httpx" in names
    assert names <= ALLOWED
    assert not names & {"ray", "torch", "numpy", "streaming", "actors", "training", "deploy"}


def test_it_is_in_the_wheel_with_its_types() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "tidecast_client" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (FOLDER / "py.typed").exists()
    assert {"httpx", "msgspec"} <= set(project["project"]["dependencies"])

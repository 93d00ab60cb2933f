"""The MkDocs hook that makes docs/ a site as well as pages on a code host: links into the source become text there.

MkDocs calls `on_page_markdown` for each page (mkdocs.yml names this file). A link to a file or a heading that does not
exist ends `make docs` with an error.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger("mkdocs.hooks.docs_links")  # mkdocs counts warnings of its loggers: --strict ends with them

_SOURCE = re.compile(r"\[([^\]]*)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's text without links out of docs/. Warns of links that lead nowhere."""

    def as_text(link: re.Match[str]) -> str:
        if not (ROOT / "docs" / link[2]).resolve().exists():
            LOGGER.warning("%s: %s does not exist", page.file.src_path, link[2])
        return link[1]

    return _SOURCE.sub(as_text, markdown)

"""The documentation page: Swagger UI on our OpenAPI document. Its files come from a package; nothing is fetched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "fastapi_offline"  # carries the files of Swagger UI 5, which reads OpenAPI 3.1
ASSETS = {"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Tidecast API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body>
<div id="swagger-ui">
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> needs none.</noscript>
</div>
<section id="problems" class="swagger-ui"><div class="wrapper"><h2>Problems</h2>
<p>Every error is an RFC 9457 problem: <code>status</code>, <code>detail</code> and, for a bad request, the
<code>field</code> and what is <code>allowed</code> there.</p></div></section>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, validatorUrl: null
});
</script>
</body>
</html>
"""


def asset(name: str) -> bytes:
    """One of ASSETS, some 1.5 MB. Raises FileNotFoundError: the package is not installed, or has other files."""
    spec = importlib.util.find_spec(PACKAGE)  # which imports nothing of it
    for place in (spec.submodule_search_locations or []) if spec else []:
        return Path(place, "static", name).read_bytes()
    raise FileNotFoundError(f"Swagger UI's files are not installed; they come with the package {PACKAGE}")

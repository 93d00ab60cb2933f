"""The documentation page in a real browser: it shows every call, and a person can try one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from streaming.ports import free_port
from tests.browser import chromium
from tests.unit.deploy.http.called_api import READY, FakeAnswers


@pytest.fixture
def served() -> Iterator[tuple[str, FakeAnswers]]:
    answers = FakeAnswers()
    port = free_port()
    api = Api(routes(answers, lambda: READY), 2_000_000, MemoryMetrics())
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}", answers
    server.should_exit = True
    thread.join(20)


def test_a_person_sees_every_call_and_tries_one(served: tuple[str, FakeAnswers], tmp_path: Path) -> None:
    url, answers = served
    with chromium(tmp_path) as page:
        page.open(f"{url}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length >= 6")
        shown = page.value("[...document.querySelectorAll('.opblock-summary-path')].map(e => e.innerText).join(' ')")
        assert "/v1/recommend" in shown.replace("\u200b", "")
        assert page.value("document.querySelector('#problems').innerText").startswith("Problems")

        page.click(".opblock-post .opblock-summary-control", until="!!document.querySelector('.opblock-post .execute')")
        given = "document.querySelector('.live-responses-table tr.response .response-col_description')"
        answer = page.click(".opblock-post .execute", until=f"({given} || {{}}).innerText")
        assert '"request": "r"' in answer
        assert page.said == []
        assert {asked.split("/")[2] for asked in page.asked if asked.startswith("http")} == {url.split("/")[2]}
    assert {query.viewer for query in answers.asked} == {"viewer-1"}

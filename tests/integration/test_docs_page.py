"""The documentation page in a real browser: it shows every call, and a person can try one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from tests.browser import chromium
from tests.served_api import served
from tests.unit.deploy.http.called_api import READY, FakeAnswers, behind


@pytest.fixture
def page_and_answers() -> Iterator[tuple[str, FakeAnswers]]:
    answers = FakeAnswers()
    with served(Api(routes(behind(answers), lambda: READY), 2_000_000, MemoryMetrics())) as port:
        yield f"http://127.0.0.1:{port}", answers


def test_a_person_sees_every_call_and_tries_one(page_and_answers: tuple[str, FakeAnswers], tmp_path: Path) -> None:
    url, answers = page_and_answers
    with chromium(tmp_path) as page:
        page.open(f"{url}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length >= 6")
        shown = page.value("[...document.querySelectorAll('.opblock-summary-path')].map(e => e.innerText).join(' ')")
        assert "/v1/recommend" in shown.replace("\u200b", "")
        assert page.value("document.querySelector('#problems').innerText").startswith("Problems")

        page.click(".opblock-post .opblock-summary-control", until="!!document.querySelector('.opblock-post .execute')")
        given = "document.querySelector('.live-responses-table tr.response .response-col_description')"
        answer = page.click(".opblock-post .execute", until=f"({given} || {{}}).innerText")
        assert '"viewer": "viewer-1"' in answer.partition("Response body")[2]
        assert page.said == []
        assert {asked.split("/")[2] for asked in page.asked if asked.startswith("http")} == {url.split("/")[2]}
    assert {query.viewer for query in answers.asked} == {"viewer-1"}

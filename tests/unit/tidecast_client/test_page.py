"""The examples of docs/client.md, as they stand there, against the whole API over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.intake.intake import TAKEN, Intake
from actors.settings import IntakeConfig
from deploy.http.api import Api
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.public import routes
from streaming.clock import SystemClock
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import CHAT
from streaming.metrics import MemoryMetrics
from tests.answers_behind import answers_behind
from tests.documented import ROOT, Block, blocks
from tests.served_api import served
from tests.unit.actors.replica import AXES, Replica, axis
from tests.unit.deploy.http.called_api import READY, FakeTexts
from tidecast_client import AsyncClient, Client, errors

PAGE = "docs/client.md"
WRITTEN = "http://127.0.0.1:8000"
EXAMPLES = [block for block in blocks() if block.page == PAGE and block.language == "python"]
LOGS: list[MemoryLog] = []


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A replica with thirty rooms and a viewer."""
    replica = Replica()
    for number in range(30):
        replica.room(f"room-{number}", title_vector=axis(number % AXES), tags=("chess", "chill"))
    replica.viewer("viewer-1", "room-1", "room-2")
    recommender, clock, metrics = replica.recommender, SystemClock(), MemoryMetrics()
    log = MemoryLog(clock, dict.fromkeys(TAKEN, 2))
    LOGS.append(log)
    writing = intake_routes(Intake(log, IntakeConfig(), clock, metrics), IntakeConfig(), "127.0.0.1")
    behind = answers_behind(recommender, clock, FakeTexts(), writing=writing)
    opened: list[Client] = []
    begin = Client.__init__

    def noted(self: Client, *given: object, **named: object) -> None:
        begin(self, *given, **named)  # type: ignore[arg-type]
        opened.append(self)

    monkeypatch.setattr(Client, "__init__", noted)
    with served(Api(routes(behind, lambda: READY), 2_000_000, metrics, request_timeout_s=5.0)) as port:
        yield f"http://127.0.0.1:{port}"
        for client in opened:
            client.close()


@pytest.mark.parametrize("block", EXAMPLES, ids=[f"line {block.line}" for block in EXAMPLES])
def test_an_example_of_the_page_runs(block: Block, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert WRITTEN in block.text
    exec(compile(block.text.replace(WRITTEN, url), f"{PAGE}:{block.line}", "exec"), {"__name__": "example"})
    out = capsys.readouterr().out
    if "write_chat" in block.text:
        assert out.strip() == "20000 []"
        assert sum(LOGS[-1].ends(LOGS[-1].partitions(CHAT)).values()) == 20_000
    if "except BadRequest" in block.text:
        assert "min_audience 9 is above max_audience 3" in out
        assert "it has ended" in out
    if "recommend_pages" in block.text and "async" not in block.text:
        assert len([line for line in out.splitlines() if line.startswith("['room-")]) == 3


def test_the_page_names_both_clients_and_every_exception() -> None:
    text = (ROOT / PAGE).read_text()
    assert AsyncClient.__name__ in text
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ClientError)]
    assert len(kinds) == 10
    assert all(f"`{kind.__name__}`" in text for kind in kinds)

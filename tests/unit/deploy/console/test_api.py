"""The console's way to the API over real HTTP: what is refused is said, and is no failure of the system."""

from __future__ import annotations

import asyncio

import pytest

from deploy.console.api import Api
from tests.console_api import FakeApi, Stage


@pytest.mark.parametrize("key_refused", [False, True])
def test_why_no_chat_is_taken_is_an_answer_also_where_it_is_the_key(key_refused: bool) -> None:
    stage = Stage(rooms=3)

    async def asked(url: str, admin_url: str) -> None:
        api = Api(url, admin_url, "tc_key")
        assert await api.chat_refusal() == ""
        stage.refusal, stage.key_refused = "nobody may write here", key_refused
        assert (await api.chat_refusal()).startswith("nobody may write here")
        await api.close()

    with FakeApi(stage) as served:
        asyncio.run(asked(served.url, served.admin_url))

"""Tests of deploy.console.ask.advice: an error says what to do."""

from __future__ import annotations

import pytest

from deploy.console.ask.advice import AGAIN, OLDER, advice
from deploy.http.client import NoAccess, NotUp
from streaming.errors import RequestError, TidecastError, UnknownRoom


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (NotUp("the Encoder has not answered in time"), f"the Encoder has not answered in time. {AGAIN}"),
        (UnknownRoom("no such path: /v1/search"), f"There is no search here: no such path: /v1/search. {OLDER}"),
        (RequestError("nothing in it", field="q", allowed="a text"), "nothing in it. Allowed: a text."),
        (RequestError("nothing in it.", field="", allowed=""), "nothing in it."),
        (NoAccess("needs recommend. Send a key"), "needs recommend. Send a key"),
    ],
)
def test_each_error_says_what_to_do(err: TidecastError, said: str) -> None:
    assert advice("search", err) == said

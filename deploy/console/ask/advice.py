"""Why a question of a page has no answer, and what to do about it, in words. Never asks again."""

from __future__ import annotations

from deploy.http.client import NotUp
from streaming.errors import RequestError, TidecastError, UnknownRoom, UnknownViewer

AGAIN = "It is asked again by itself; Health shows whether the Encoder keeps up."
OLDER = "Is the system older than this console?"


def advice(what: str, err: TidecastError) -> str:
    """What is shown of an error. what: the thing that was asked for, such as "search"."""
    match err:
        case NotUp():
            return f"{_sentence(str(err))} {AGAIN}"
        case UnknownRoom() | UnknownViewer():  # a path that it does not have is a 404 too
            return f"There is no {what} here: {_sentence(str(err))} {OLDER}"
        case RequestError():
            return f"{_sentence(str(err))} Allowed: {err.allowed}." if err.allowed else str(err)
        case _:
            return str(err)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."

"""HAProxy's own words are replaced in a copy of its binary, each that is there, and nothing else moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.ray.haproxy_words import SHORT, problem_text, with_our_words

THEIRS = {
    400: b"HTTP/1.1 400 Bad request\r\nContent-length: 90\r\n\r\n<html>" + b"x" * 140 + b"</html>\n",
    422: b"HTTP/1.1 422 Unprocessable Content\r\nContent-length: 116\r\n\r\n<html>" + b"x" * 150 + b"</html>\n",
}


@pytest.mark.parametrize("there", [(), (400,), (422,), (400, 422)])
def test_each_text_that_is_there_is_ours_and_the_rest_stays(there: tuple[int, ...], tmp_path: Path) -> None:
    binary, folder = tmp_path / "haproxy", tmp_path / "copy"
    folder.mkdir()
    binary.write_bytes(b"\x7fELF\0" + b"".join(THEIRS[status] + b"\0code\0" for status in there))
    program = with_our_words(binary, folder).read_bytes()
    assert len(program) == len(binary.read_bytes())
    parts = program.split(b"\0")
    assert [part for part in parts if not part.startswith(b"HTTP")] == [b"\x7fELF", *[b"code"] * len(there), b""]
    said = [part.split(b"\r\n\r\n") for part in parts if part.startswith(b"HTTP")]
    assert [json.loads(body)["status"] for _, body in said] == list(there)
    assert b"html" not in program


@pytest.mark.parametrize("status", list(SHORT))
def test_a_text_is_as_long_as_the_one_it_replaces_or_none(status: int) -> None:
    said = problem_text(status, 250)
    assert said is not None
    head, _, body = said.partition(b"\r\n\r\n")
    assert (len(said), f"Content-Length:{len(body)}" in head.decode()) == (250, True)
    assert json.loads(body)["status"] == status
    assert problem_text(status, 100) is None

"""Tests that threads may decode a type for the first time at once, in our processes and in those of callers."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUNS = 12  # without a look before, about every third one ends by a segmentation fault
THREADS_DECODE = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
{imports}
begin = threading.Barrier(4)
def decode():
    begin.wait()
    for _ in range(50):
        msgspec.json.decode(b'''{value}''', type={kind})
threads = [threading.Thread(target=decode) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
QUERY = '{"viewer": "v", "filters": {"language": "en"}, "context": {"recent": ["a"]}, "steer": {"text": "x"}}'
OURS = """
from actors.recommend.schema import Query
from streaming.record_format.first_look import look_at_types
assert look_at_types() > 20
"""


@pytest.mark.parametrize(
    ("imports", "kind"),
    [(OURS, "Query"), ("import tidecast_client", "tidecast_client.Query")],
    ids=["a process of ours", "a caller's process"],
)
def test_threads_decode_a_type_for_the_first_time_at_once(imports: str, kind: str) -> None:
    script = THREADS_DECODE.format(imports=imports, value=QUERY, kind=kind)
    ended = [subprocess.run([sys.executable, "-c", script], check=False).returncode for _ in range(RUNS)]
    assert ended == [0] * RUNS

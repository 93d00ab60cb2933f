"""Compilation of kernels to machine code by numba, before a request needs them. Never computes.

The machine code is cached beside the source, or in the user's cache. Where neither can be written each process
compiles anew, in some twenty seconds. To see whether its cache is stale numba looks at a kernel's own file alone, so a
kernel calls only kernels of its file.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from numba import njit, types
from numba.core.compiler_lock import global_compiler_lock

Function = TypeVar("Function", bound=Callable[..., Any])

LOCK = "compiling.lock"  # beside the machine code that is kept

# Sums in any order, but NaN stays NaN; a division by zero is infinite, as in numpy, and not an error.
FAST = {"reassoc", "contract", "arcp", "nsz"}
FLOATS, FLOATS_2D, FLOATS_3D = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]
INTEGERS, INTEGERS_2D = types.int64[::1], types.int64[:, ::1]


def kernel(*, beside_python: bool = False, exact: bool = False) -> Callable[[Function], Function]:
    """A decorator that has numba compile a function, once `load` or another kernel asks for it.

    beside_python: releases the interpreter's lock, so that other threads run Python meanwhile. Use it for long work
    only: a request of 50 us that gives up the lock may wait for milliseconds to have it back. exact: keeps sums in
    the order written.
    """
    options = {"nogil": beside_python, "fastmath": set() if exact else FAST, "error_model": "numpy"}

    def compiled(function: Function) -> Function:
        try:
            kept: Function = njit(cache=True, **options)(function)
        except RuntimeError:  # numba's, where it finds no folder that it can write
            kept = njit(**options)(function)
        return kept

    return compiled


def load(signatures: Mapping[Any, Any]) -> None:
    """Compiles each kernel for its types, or loads its cached machine code.

    Afterwards other types are an error: that is better than to compile in a request. Takes some 10 ms a kernel from
    the cache, and no time where this process did it before.
    """
    with global_compiler_lock:  # another thread may be about it
        for function, signature in signatures.items():
            if not function.signatures:
                with _alone(function):
                    _compile(function, signature)


def _compile(function: Any, signature: Any) -> None:
    try:
        function.compile(signature)
    except OSError:  # the machine code cannot be kept; it is there all the same
        if not function.signatures:
            raise
    function.disable_compile()


@contextlib.contextmanager
def _alone(function: Any) -> Iterator[None]:
    """A lock on the cache folder: another process waits meanwhile, and then finds the machine code in the cache."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, TypeError):  # kept nowhere, or on a file system without locks
            lock = stack.enter_context(Path(function.stats.cache_path, LOCK).open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

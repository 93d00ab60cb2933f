"""Tests of compiled arithmetic beside plain numpy, and of how it is compiled. Never measures time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from training.features import compiling
from training.inference import network_kernels, piecewise_linear_kernels, warm_up


def floats(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 7, 1), (2, 64, 64), (3, 5, 6), (20, 33, 7)])
def test_a_product_is_numpys_whatever_the_sizes(rows: int, inputs: int, outputs: int) -> None:
    x, weight, bias = floats(rows, inputs), floats(outputs, inputs, seed=2), floats(outputs, seed=3)
    got = np.full((rows, outputs), np.nan, np.float32)
    network_kernels.product(x, weight, bias, got)
    np.testing.assert_allclose(got, x @ weight.T + bias, atol=1e-5)


def test_silu_is_exact_to_a_few_millionths() -> None:
    x = np.linspace(-60, 60, 24_000, dtype=np.float32).reshape(3, -1)
    got = x.copy()
    network_kernels.silus(got)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(got, exact / (1 + np.exp(-exact)), atol=3e-6, rtol=3e-7)


def encoded_plainly(values_NF: np.ndarray, knots_FQ: np.ndarray, lines_FRO: np.ndarray) -> np.ndarray:
    """Feature by feature by np.interp; a row of its own for NaN."""
    total = np.zeros((len(values_NF), lines_FRO.shape[2]))
    for feature, values_N in enumerate(values_NF.T):
        for output in range(lines_FRO.shape[2]):
            line = np.interp(values_N, knots_FQ[feature], lines_FRO[feature, :-1, output])
            total[:, output] += np.where(np.isnan(values_N), lines_FRO[feature, -1, output], line)
    return total


@pytest.mark.parametrize("rows", [1, 5, 200])
def test_straight_lines_are_interpolation_between_knots(rows: int) -> None:
    rng = np.random.default_rng(rows)
    knots_FQ = np.cumsum(rng.random((6, 5)) + 0.1, axis=1).astype(np.float32)
    lines_FRO, prepared_NO = floats(6, 6, 16), floats(rows, 16, seed=4)
    values_NF = (rng.random((rows, 6)) * 6 - 1).astype(np.float32)
    values_NF[:, 1] = 0.7  # the same for all
    values_NF[rows // 3 :, 2] = np.nan  # for most
    values_NF[rows // 2, 3] = knots_FQ[3, 2]
    values_NF[0, 4], values_NF[-1, 5] = np.inf, -np.inf
    expected_NO = encoded_plainly(values_NF, knots_FQ, lines_FRO)
    slots_N = np.arange(rows)[::-1].copy()
    summed = piecewise_linear_kernels.summed(prepared_NO, slots_N, values_NF, knots_FQ, lines_FRO)
    np.testing.assert_allclose(summed, prepared_NO[slots_N] + expected_NO, atol=1e-5)
    bias_O = floats(16, seed=5)
    encoded = piecewise_linear_kernels.encode_rows(values_NF, knots_FQ, lines_FRO, bias_O)
    np.testing.assert_allclose(encoded, bias_O + expected_NO, atol=1e-5)


def test_what_is_loaded_compiles_no_more() -> None:
    warm_up.compile_all()
    warm_up.compile_all()
    with pytest.raises(TypeError, match="No matching definition"):
        network_kernels.probabilities(np.zeros((2, 3)), 1.0)  # of doubles
    assert len(network_kernels.probabilities.signatures) == 1  # type: ignore[attr-defined]


def test_where_no_folder_can_be_written_each_process_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def without_folder(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(compiling, "njit", without_folder)

    @compiling.kernel()
    def twice(x: float) -> float:
        return 2 * x

    assert twice(3.0) == 6.0


class Unkept:
    """A kernel whose machine code cannot be written: the disk is full."""

    def __init__(self, folder: Path | None = None) -> None:
        self.signatures: list[str] = []
        self.may_compile = True
        self.stats = SimpleNamespace(cache_path=folder)

    def compile(self, signature: str) -> None:
        self.signatures.append(signature)
        raise OSError(28, "No space left on device")

    def disable_compile(self) -> None:
        self.may_compile = False


def test_where_the_disk_is_full_kernels_work_unkept() -> None:
    kernel = Unkept()
    compiling.load({kernel: "int64(int64)"})
    assert kernel.signatures == ["int64(int64)"]
    assert not kernel.may_compile


class Watchful(Unkept):
    """A kernel that looks whether another process could compile beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.alone = False

    def compile(self, signature: str) -> None:
        self.signatures.append(signature)
        with (self.stats.cache_path / compiling.LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.alone = True


def test_of_several_processes_one_compiles(tmp_path: Path) -> None:
    kernel = Watchful(tmp_path)
    compiling.load({kernel: "int64(int64)"})
    assert kernel.alone
    with (tmp_path / compiling.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is free again

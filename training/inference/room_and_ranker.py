"""The room tower and the ranker in numpy. Never trains, never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.baseline import HEAT, fresh, heat
from training.inference import causes, network_kernels, piecewise_linear_kernels, warm_up
from training.inference.interface import RoomsToExplain
from training.model.config import (
    ADAPTER,
    EXTRA,
    FRESH_HALF_LIFE_S,
    HABIT_HALF_LIFE_S,
    HEAD_ARRAYS,
    LARGE,
    RANKED,
    LarmConfig,
    TermWeights,
)

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

LINE = 16  # float32 in a line of the cache


@dataclass(frozen=True, slots=True, eq=False)
class RoomTowerOutput:
    """The room tower's outputs for N rooms. static_NE: vectors of the slow mean alone."""

    vector_NE: Floats
    content_NE: Floats
    content_gate_N: Floats
    static_NE: Floats


class RoomForward:
    """The room tower in numpy, equal to training/model/room_tower.py within rounding."""

    def __init__(self, config: LarmConfig, arrays: Arrays) -> None:
        """arrays: a bundle's. Raises KeyError: one is missing; ValueError: the projection has another shape."""
        weight_EW: Floats = arrays["rooms.project.weight"]
        if weight_EW.shape != (config.d_model, 2 * config.d_content):
            raise ValueError(f"rooms.project.weight is {weight_EW.shape}, not {config.d_model, 2 * config.d_content}")
        self._adapter: tuple[Floats, Floats] | None = None
        if config.adapter:
            down_HD, up_DH = (arrays[f"{ADAPTER}.{layer}.weight"] for layer in ("down", "up"))
            if (*down_HD.shape, *up_DH.shape) != (config.adapter, config.d_content, config.d_content, config.adapter):
                raise ValueError(f"the adapter's layers are {down_HD.shape} and {up_DH.shape}")
            self._adapter = np.ascontiguousarray(down_HD.T), np.ascontiguousarray(up_DH.T)
        self._now_DE = np.ascontiguousarray(weight_EW[:, : config.d_content].T)
        self._mean_DE = np.ascontiguousarray(weight_EW[:, config.d_content :].T)
        self._bias_E: Floats = arrays["rooms.project.bias"]
        self._id_SE: Floats = arrays["rooms.streamer.weight"]
        gate_S1 = self._id_SE @ arrays["rooms.gate.weight"].T + arrays["rooms.gate.bias"]
        if config.sides != "both":
            gate_S1 = np.full_like(gate_S1, np.inf if config.sides == "content" else -np.inf)
        self._gate_S1: Floats = (1 / (1 + np.exp(-gate_S1))).astype(np.float32)
        self._unit_SE = unit(self._id_SE)
        self.num_rows = len(self._id_SE)

    def __call__(self, now_ND: Floats, mean_ND: Floats, row_N: NDArray[np.int32]) -> RoomTowerOutput:
        """Outputs for N rooms. now_ND, mean_ND: zeros without content. row_N: the streamers' rows, 0 for unknown."""
        has_N1 = (now_ND.any(axis=1) | mean_ND.any(axis=1)).reshape(-1, 1)
        now_ND, mean_ND = self._adapted(now_ND), self._adapted(mean_ND)
        slow_NE = mean_ND @ self._mean_DE + self._bias_E
        gate_N1 = self._gate_S1[row_N] * has_N1
        content_NE = unit(now_ND @ self._now_DE + slow_NE) * has_N1
        static_NE = unit(mean_ND @ self._now_DE + slow_NE) * has_N1
        id_NE = (1 - gate_N1) * self._unit_SE[row_N]
        return RoomTowerOutput(
            vector_NE=unit(gate_N1 * content_NE + id_NE),
            content_NE=content_NE,
            content_gate_N=gate_N1[:, 0],
            static_NE=unit(gate_N1 * static_NE + id_NE),
        )

    def _adapted(self, content_ND: Floats) -> Floats:
        """Content after the adapter, where the version has one."""
        if self._adapter is None:
            return content_ND
        down_DH, up_HD = self._adapter
        adapted_ND: Floats = content_ND + np.maximum(content_ND @ down_DH, 0) @ up_HD
        return adapted_ND


class RankerForward:
    """The ranker in numpy, equal to training/model/ranker.py within rounding.

    It has T heads: three, or four where the version has one for leaving. `prepare` computes the part that depends on
    rooms alone. Its columns: the first layer's units, the straight lines of the heads, the rooms' terms, then zeros up
    to whole lines of the cache.
    """

    def __init__(self, arrays: Arrays, room_names: Sequence[str]) -> None:
        """room_names: names of the features that depend on rooms alone, which come first.

        Raises KeyError: an array is missing; ValueError: it has another shape, or a feature is unknown.
        """
        warm_up.compile_all()
        knots_FQ: Floats = arrays["ranker.knots_FQ"]
        names = (*RANKED, *EXTRA)
        if len(knots_FQ) != len(names):
            raise ValueError(f"ranker.knots_FQ has {len(knots_FQ)} rows for {len(names)} inputs")
        self._hidden = len(arrays["ranker.wide.bias"])
        layers_OW = np.concatenate([arrays["ranker.wide.weight"], _all_heads(arrays, "ranker.straight.weight")])
        layers_FQO = np.ascontiguousarray(layers_OW.T).reshape(len(names), knots_FQ.shape[1], -1)
        room = [names.index(name) for name in (*room_names, "gate")]
        rest = [index for index in range(len(names)) if index not in room]
        self._room, self._rest = (_Lines.of(knots_FQ[some], layers_FQO[some]) for some in (room, rest))
        age = [names.index("room_age_s")]
        self._age = _Lines.of(knots_FQ[age], layers_FQO[age])
        self._bias_O = np.zeros(self._room.lines_FRO.shape[2], np.float32)
        self._bias_O[: self._hidden] = arrays["ranker.wide.bias"]
        self._deep_IH = _plain(arrays["ranker.deep.weight"])
        self._deep_bias_I = _plain(arrays["ranker.deep.bias"])
        self._heads_TI = _plain(_all_heads(arrays, "ranker.heads.weight"))
        self._heads_bias_T = _plain(_all_heads(arrays, "ranker.heads.bias"))
        self._num_heads = len(self._heads_TI)
        if layers_OW.shape[0] != self._hidden + self._num_heads or len(self._heads_bias_T) != self._num_heads:
            raise ValueError("the ranker's heads have arrays of different lengths")
        self._room_names = {name: index for index, name in enumerate(room_names)}
        self._weights = weights = TermWeights(*arrays["ranker.terms_K"].tolist())
        self._viewer_terms_4 = np.array([getattr(weights, term) for term in network_kernels.VIEWER_TERMS], np.float32)
        read = [rest.index(names.index(name)) for name in network_kernels.VIEWER_TERM_INPUTS]
        self._viewer_term_inputs_5 = np.array(read, np.int64)

    def prepare(self, room_features_NC: Floats, content_gate_N: Floats) -> Floats:
        """The prepared part of N rooms, float32 [N, O]. Other threads run meanwhile."""
        values_NF = np.empty((len(content_gate_N), len(self._room_names) + 1), np.float32)
        values_NF[:, :-1], values_NF[:, -1] = room_features_NC, content_gate_N
        prepared_NO: Floats = piecewise_linear_kernels.encode_rows(
            values_NF, self._room.knots_FQ, self._room.lines_FRO, self._bias_O
        )
        prepared_NO[:, self._hidden + self._num_heads] = self._room_terms(room_features_NC)
        return prepared_NO

    def __call__(self, prepared_SO: Floats, slots_N: NDArray[np.int64], rest_NF: Floats) -> Floats:
        """Logits of N rooms, float32 [N, T]. slots_N: their rows of prepared_SO; rest_NF: the other inputs."""
        if not len(rest_NF):
            return np.zeros((0, self._num_heads), np.float32)
        return self.heads(self.summed(prepared_SO, slots_N, rest_NF), rest_NF)

    def summed(self, prepared_SO: Floats, slots_N: NDArray[np.int64], rest_NF: Floats) -> Floats:
        """Sums for the first layer's units, the heads and the terms, float32 [N, O]."""
        sum_NO: Floats = piecewise_linear_kernels.summed(
            prepared_SO, slots_N, rest_NF, self._rest.knots_FQ, self._rest.lines_FRO
        )
        return sum_NO

    def heads(self, sum_NO: Floats, rest_NF: Floats) -> Floats:
        """Logits from the sums of `summed`, float32 [N, T]."""
        logit_NT: Floats = network_kernels.ranker_logits(
            sum_NO,
            rest_NF,
            self._deep_IH,
            self._deep_bias_I,
            self._heads_TI,
            self._heads_bias_T,
            self._viewer_terms_4,
            self._viewer_term_inputs_5,
            HABIT_HALF_LIFE_S,
        )
        return logit_NT

    def log_odds_drops(
        self,
        inside: RankTrace,
        prepared_SO: Floats,
        slots_N: NDArray[np.int64],
        rooms: RoomsToExplain,
        *,
        is_known: bool,
    ) -> Floats:
        """Drops of the logits of entering of K rooms without each of causes.CAUSES, float32 [K, C]."""
        sum_RO, values_RF, which_R2 = piecewise_linear_kernels.ablated(
            inside.sum_NO,
            inside.values_NF,
            prepared_SO,
            slots_N,
            rooms.places_K,
            rooms.is_drawing_K,
            causes.STARTS_C,
            causes.FEATURES_X,
            causes.FACTS_2Y,
            causes.LEAST_Y,
            causes.CAUSE_F,
            causes.NEVER_F,
            self._rest.knots_FQ,
            self._rest.lines_FRO,
            self._age.knots_FQ,
            self._age.lines_FRO,
            rooms.age_s_K,
            np.float32(rooms.usual_age_s),
            np.float32(self._weights.fresh),
            FRESH_HALF_LIFE_S,
            self._hidden + self._num_heads,
            is_known,
        )
        logit_RT = self.heads(sum_RO, values_RF)
        drop_KC: Floats = piecewise_linear_kernels.logit_drops(
            inside.logit_NT, rooms.places_K, logit_RT, which_R2, len(causes.CAUSES)
        )
        return drop_KC

    def probabilities(self, logit_NT: Floats, temperature: float) -> Floats:
        """Probabilities of the heads, float32 [T, N]; those of entering sum to one."""
        share_TN: Floats = network_kernels.probabilities(logit_NT, temperature)
        return share_TN

    def _room_terms(self, room_features_NC: Floats) -> Floats:
        column = {name: room_features_NC[:, index] for name, index in self._room_names.items()}
        heat_N, fresh_N = heat(*(column[name] for name in HEAT)), fresh(column["room_age_s"], FRESH_HALF_LIFE_S)
        weights = self._weights
        total_N: Floats = weights.trending * _logarithmic(heat_N) + weights.crowd * _logarithmic(column["messages_60s"])
        return np.asarray(total_N + weights.fresh * fresh_N, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class RankTrace:
    """Intermediate results of ranking N rooms: the first layer's sums, the request's inputs, the logits."""

    sum_NO: Floats
    values_NF: Floats
    logit_NT: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Contributions of some inputs to the layers at each of their knots; between knots they are straight lines.

    Rows of a feature: one per knot, then one for an unknown value.
    """

    knots_FQ: Floats
    lines_FRO: Floats

    @classmethod
    def of(cls, knots_FQ: Floats, layers_FQO: Floats) -> _Lines:
        """The contributions from weights. layers_FQO: the gain from a knot to the next, then for an unknown value."""
        F, Q, outputs = layers_FQO.shape
        lines_FRO = np.zeros((F, Q + 1, -(-(outputs + 1) // LINE) * LINE), np.float32)
        lines_FRO[:, 1:Q, :outputs] = np.cumsum(layers_FQO[:, :-1], axis=1, dtype=np.float64)
        lines_FRO[:, Q, :outputs] = layers_FQO[:, -1]
        return cls(_plain(knots_FQ), lines_FRO)


def _all_heads(arrays: Arrays, name: str) -> Floats:
    """Rows of all heads that the version has. Raises KeyError: one of the arrays for leaving is missing."""
    heads = arrays[name]
    if not any(f"{other}.leave" in arrays for other in HEAD_ARRAYS):
        return heads
    return np.concatenate([heads, arrays[f"{name}.leave"]])


def _plain(array: NDArray[Any]) -> Floats:
    """A copy that kernels take: a bundle's arrays may be read-only, which is another type to numba."""
    return np.array(array, np.float32, order="C")


def unit(vectors_ND: Floats) -> Floats:
    """Rows scaled to unit length; rows of zeros stay."""
    length_N1 = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND))[:, None]
    unit_ND: Floats = vectors_ND / np.maximum(length_N1, np.float32(1e-12))
    return unit_ND


def _logarithmic(value_N: Floats) -> Floats:
    log_N: Floats = np.log1p(np.maximum(value_N, 0))
    return log_N / np.float32(LARGE)

"""Owns the room tower's and the ranker's answers in numpy. Never trains, never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.model_config import (
    EXTRA,
    FRESH_HALF_LIFE_S,
    HABIT_HALF_LIFE_S,
    HEADS,
    LARGE,
    RANKED,
    LarmConfig,
)

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ForwardRooms:
    """N rooms. static_NE: vectors of the slow mean alone."""

    vector_NE: Floats
    content_NE: Floats
    gate_N: Floats
    static_NE: Floats


class RoomForward:
    """As training/larm.py."""

    def __init__(self, config: LarmConfig, arrays: Arrays) -> None:
        """Raises KeyError, ValueError."""
        weight_EW: Floats = arrays["rooms.project.weight"]
        if weight_EW.shape != (config.d_model, 2 * config.d_content):
            raise ValueError(f"rooms.project.weight is {weight_EW.shape}, not {config.d_model, 2 * config.d_content}")
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

    def __call__(self, now_ND: Floats, mean_ND: Floats, row_N: NDArray[np.int32]) -> ForwardRooms:
        """now_ND, mean_ND: zeros where there is no content. row_N: 0 for the unknown."""
        has_N1 = (now_ND.any(axis=1) | mean_ND.any(axis=1)).reshape(-1, 1)
        slow_NE = mean_ND @ self._mean_DE + self._bias_E
        gate_N1 = self._gate_S1[row_N] * has_N1
        content_NE = unit(now_ND @ self._now_DE + slow_NE) * has_N1
        static_NE = unit(mean_ND @ self._now_DE + slow_NE) * has_N1
        id_NE = (1 - gate_N1) * self._unit_SE[row_N]
        return ForwardRooms(
            vector_NE=unit(gate_N1 * content_NE + id_NE),
            content_NE=content_NE,
            gate_N=gate_N1[:, 0],
            static_NE=unit(gate_N1 * static_NE + id_NE),
        )


class RankerForward:
    """As training/ranker.py, with what depends on rooms alone apart.

    Columns of `prepare`: the first layer's units, the straight lines of the three heads, and the rooms' terms.
    """

    def __init__(self, arrays: Arrays, crowd: Sequence[str]) -> None:
        """crowd: the features of rooms alone, which come first. Raises KeyError, ValueError."""
        knots_FQ: Floats = arrays["ranker.knots_FQ"]
        names = (*RANKED, *EXTRA)
        if len(knots_FQ) != len(names):
            raise ValueError(f"ranker.knots_FQ has {len(knots_FQ)} rows for {len(names)} inputs")
        self._hidden = len(arrays["ranker.wide.bias"])
        bins = knots_FQ.shape[1]
        layers_OW = np.concatenate([arrays["ranker.wide.weight"], arrays["ranker.straight.weight"]])
        layers_FQO = np.ascontiguousarray(layers_OW.T).reshape(len(names), bins, -1)
        room = [names.index(name) for name in (*crowd, "gate")]
        rest = [index for index in range(len(names)) if index not in room]
        self._room, self._rest = (_Encoded(knots_FQ[some], layers_FQO[some]) for some in (room, rest))
        self._rest_names = [names[index] for index in rest]
        self._bias_H: Floats = arrays["ranker.wide.bias"]
        self._deep_HI = np.ascontiguousarray(arrays["ranker.deep.weight"].T)
        self._deep_bias_I: Floats = arrays["ranker.deep.bias"]
        self._heads_I3 = np.ascontiguousarray(arrays["ranker.heads.weight"].T)
        self._heads_bias_3: Floats = arrays["ranker.heads.bias"]
        self._terms_K: Floats = arrays["ranker.terms_K"]
        self._crowd = {name: index for index, name in enumerate(crowd)}
        self._own = {name: self._rest_names.index(name) for name in ("own_visits", "own_visit_age_s", "alike")}

    def prepare(self, crowd_NC: Floats, gate_N: Floats) -> Floats:
        """[N, H + 4]."""
        layers_NO = self._room(np.concatenate([crowd_NC, gate_N[:, None]], axis=1))
        layers_NO[:, : self._hidden] += self._bias_H
        return np.concatenate([layers_NO, self._room_terms(crowd_NC)[:, None]], axis=1)

    def __call__(self, prepared_NH: Floats, rest_NF: Floats) -> Floats:
        """[N, 3] logits. rest_NF: the other features and extra inputs, in their order."""
        width = self._hidden + len(HEADS)
        layers_NO = prepared_NH[:, :width] + self._rest(rest_NF)
        hidden_NI = _silu(_silu(layers_NO[:, : self._hidden]) @ self._deep_HI + self._deep_bias_I)
        logit_N3: Floats = hidden_NI @ self._heads_I3 + self._heads_bias_3 + layers_NO[:, self._hidden :]
        logit_N3[:, 0] += prepared_NH[:, width] + self._own_terms(rest_NF)
        return logit_N3

    def _room_terms(self, crowd_NC: Floats) -> Floats:
        column = {name: crowd_NC[:, index] for name, index in self._crowd.items()}
        heat_N = column["newcomers_60s"] + 0.2 * column["newcomers_600s"]
        heat_N = heat_N + 0.2 * (column["entries_60s"] + 0.2 * column["entries_600s"])
        fresh_N = np.exp2(-np.maximum(column["room_age_s"], 0) / FRESH_HALF_LIFE_S)
        _, _, trending, crowd, fresh = self._terms_K
        total_N: Floats = trending * _logarithmic(heat_N) + crowd * _logarithmic(column["messages_60s"])
        return np.asarray(total_N + fresh * fresh_N, np.float32)

    def _own_terms(self, rest_NF: Floats) -> Floats:
        visits_N, age_s_N = rest_NF[:, self._own["own_visits"]], rest_NF[:, self._own["own_visit_age_s"]]
        known_N = ~np.isnan(age_s_N)
        habit_N = np.where(known_N, visits_N / (visits_N + 2) * np.exp2(-np.nan_to_num(age_s_N) / HABIT_HALF_LIFE_S), 0)
        alike_N = np.maximum(rest_NF[:, self._own["alike"]], 0)
        own_N: Floats = self._terms_K[0] * habit_N + self._terms_K[1] * alike_N
        return own_N


class _Encoded:
    """Some inputs through their straight lines and then the layers."""

    def __init__(self, knots_FQ: Floats, layers_FQO: Floats) -> None:
        self._low_FB = knots_FQ[:, :-1]
        self._per_FB = np.float32(1) / (knots_FQ[:, 1:] - knots_FQ[:, :-1])
        bins = self._low_FB.shape[1]
        self._bins_WO = np.ascontiguousarray(layers_FQO[:, :bins].reshape(-1, layers_FQO.shape[2]))
        self._unknown_FO = np.ascontiguousarray(layers_FQO[:, bins])

    def __call__(self, values_NF: Floats) -> Floats:
        through_NFB: Floats = (values_NF[..., None] - self._low_FB) * self._per_FB
        np.clip(through_NFB, 0, 1, out=through_NFB)
        unknown_NF = np.isnan(values_NF)
        if unknown_NF.any():
            through_NFB[unknown_NF] = 0
            layers_NO: Floats = through_NFB.reshape(len(values_NF), -1) @ self._bins_WO
            layers_NO += unknown_NF.astype(np.float32) @ self._unknown_FO
            return layers_NO
        plain_NO: Floats = through_NFB.reshape(len(values_NF), -1) @ self._bins_WO
        return plain_NO


def unit(vectors_ND: Floats) -> Floats:
    """Rows of length one; rows of zeros stay."""
    length_N1 = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND))[:, None]
    unit_ND: Floats = vectors_ND / np.maximum(length_N1, np.float32(1e-12))
    return unit_ND


def _silu(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        y: Floats = x / (1 + np.exp(-x))
    return y


def _logarithmic(value_N: Floats) -> Floats:
    log_N: Floats = np.log1p(np.maximum(value_N, 0))
    return log_N / np.float32(LARGE)

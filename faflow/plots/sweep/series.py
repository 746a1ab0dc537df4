"""Records of members over times that they have in common."""

import re
from typing import NamedTuple

import numpy as np

from ...sweeps.distribution import Members


class Series(NamedTuple):
    """`values` (parameters..., seeds, times), nan where a member has ended; `cut`: whether some
    curves end before some of their members do."""

    times: np.ndarray
    values: np.ndarray
    cut: bool


def drift_series(members: Members, law: str) -> Series | None:
    """|Q(t) - Q(0) exp(-decay t)| / scale of a law, the largest over its layers and entries.

    `scale`: the member's largest recorded one in the layer, as in the summaries' relative drift.
    """
    layers = layer_drifts(members, law)
    if not layers:
        return None
    worst = np.full(layers[0][1].shape, np.nan)
    for _, drift in layers:
        worst = np.fmax(worst, drift)
    return on_common_times(members, worst)


def layer_drifts(members: Members, law: str) -> list[tuple[str, np.ndarray]]:
    """Every layer's name and the same drift in it, (parameters..., seeds, saves); none if the
    sweep has no record of the law."""
    times = members.times
    if times is None:
        return []
    found, decay = [], members.figure(f"laws.{law}.decay")
    projected = members.figure(f"laws.{law}.projected")
    for name, values, scales in _layers(members, law):
        drift = np.full(times.shape, np.nan)
        for place in np.ndindex(times.shape[:-1]):
            if projected is not None and projected[place] == 1:
                continue  # put back after every step: no measurement
            rate = 0.0 if decay is None else np.nan_to_num(_of_layer(decay[place], name))
            factor = np.exp(-rate * (times[place] - times[place][0]))
            drift[place] = _relative(values[place], scales[place], factor)
        found.append((name, drift))
    return found


def on_common_times(members: Members, values: np.ndarray) -> Series | None:
    """`on_all_times`, cut: a curve is over the same members all along. It goes as far as the first
    of them that ran to its end (and over those that broke, as long as they last)."""
    whole = on_all_times(members, values)
    if whole is None:
        return None
    times, found, _ = whole
    ends = np.max(np.where(np.isfinite(found), times, -np.inf), axis=-1)
    orderly = np.where(members.orderly & np.isfinite(ends), ends, np.inf).min(axis=-1)
    until = np.where(np.isfinite(orderly), orderly, ends.max(axis=-1))[..., None]
    found = np.where(times > until[..., None], np.nan, found)
    cut = bool(np.any(members.orderly & (ends > until)))
    seen = times <= until.max()
    return Series(times[seen], found[..., seen], cut)


def on_all_times(members: Members, values: np.ndarray) -> Series | None:
    """All members on the longest member's saves; elsewhere than at their own saves they are
    interpolated, in the logarithm if they are positive, and past their end they are nan."""
    own = members.times
    if own is None:
        return None
    flat = np.where(np.isfinite(own), own, -np.inf).reshape(-1, own.shape[-1]).max(axis=0)
    times = np.unique(flat[np.isfinite(flat)])
    if times.size < 2:
        return None
    found = np.full((*own.shape[:-1], times.size), np.nan)
    for place in np.ndindex(own.shape[:-1]):
        found[place] = _interpolated(times, own[place], values[place])
    return Series(times, found, False)


def _interpolated(times: np.ndarray, own: np.ndarray, values: np.ndarray) -> np.ndarray:
    known = np.isfinite(own) & np.isfinite(values)
    if not known.any():
        return np.full(times.shape, np.nan)
    own, values = own[known], values[known]
    edges = {"left": np.nan, "right": np.nan}
    if np.isin(times[times <= own[-1]], own).all() or values.min() <= 0:
        return np.interp(times, own, values, **edges)
    between = np.exp(np.interp(times, own, np.log(values), **edges))
    return np.where(np.isin(times, own), np.interp(times, own, values, **edges), between)


def _layers(members: Members, law: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, values, scales) per layer: columns of one record, or records of their own."""
    whole, scale = members.record(law), members.record(f"{law}_scale")
    if whole is not None and scale is not None:
        columns = members.columns(law)
        if len(columns) == 1 and columns[0].startswith("hidden_layer"):
            names = enumerate(members.entries(law))
            return [(name, whole[..., i], scale[..., i]) for i, name in names]
        return [("", whole, scale)]
    numbers = [re.fullmatch(re.escape(law) + r"_(\d+)", name) for name in members.record_names()]
    found = []
    for k in sorted(int(match[1]) for match in numbers if match):
        values, scale = members.record(f"{law}_{k}"), members.record(f"{law}_scale_{k}")
        if values is not None and scale is not None:
            found.append((str(k), values, scale))
    return found


def _relative(values: np.ndarray, scales: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(saves,): the largest entry's drift of one member in one layer."""
    rows, sizes = values.reshape(len(values), -1), scales[np.isfinite(scales)]
    known = np.isfinite(rows)
    drift = np.abs(rows - factor[:, None] * rows[:1])
    worst = np.max(np.where(known, drift, 0.0), axis=1, initial=0.0)
    largest = np.max(np.abs(sizes), initial=0.0)
    return np.where(known.any(axis=1), worst / (largest or 1.0), np.nan)


def _of_layer(rates, name: str) -> float:
    """A figure's entry for the hidden layer of this number; of figures of no layers, the one."""
    rates = np.ravel(rates)
    return float(rates[min(int(name or 1), rates.size) - 1])

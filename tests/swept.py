"""Sweeps made by hand, in the layout that `faflow sweep` stores."""

from pathlib import Path

import numpy as np
import xarray as xr

from faflow.store.result import Result

SAVES = 51
LAW = "layer-balance"


def sweep(
    folder: Path,
    axes: dict[str, list],
    *,
    statuses: dict[tuple[int, ...], str] | None = None,
    law: str = LAW,
    records: tuple[str, ...] = ("loss", "residual", "law"),
    exponents: bool = True,
    name: str = "made by hand",
) -> Result:
    """Members of random rates: residuals exp(-rate t), a law that drifts by some 1e-10.

    `statuses`: of members that did not complete, by their places; they end half way, pending ones
    have nothing.
    """
    rng = np.random.default_rng(4)
    dims, shape = tuple(axes), tuple(map(len, axes.values()))
    rates = 1.0 + rng.uniform(size=shape)
    ends = np.full(shape, SAVES)
    words = np.full(shape, "completed", dtype=object)
    for place, word in (statuses or {}).items():
        words[place], ends[place] = word, 0 if word == "pending" else SAVES // 2
    reached = np.arange(SAVES) < ends[..., None]
    times = np.where(reached, np.linspace(0.0, 10.0, SAVES), np.nan)
    residual = np.where(reached, 2.0 * np.exp(-rates[..., None] * times), np.nan)
    values = 3.0 + 1e-10 * np.cumsum(rng.standard_normal((*shape, SAVES, 2)), axis=-2)
    values = np.where(reached[..., None], values, np.nan)
    scales = np.where(reached[..., None], 2.0 + np.zeros_like(values), np.nan)
    over_time = (*dims, "time")
    by_layer = (*over_time, "hidden_layer")
    found = {"loss": (over_time, residual**2 / 2), "residual": (over_time, residual)}
    found["law"] = (by_layer, values)
    cosines = np.repeat(1.0 - residual[..., None] / 2.0, 2, axis=-1)
    found["alignment_cosine"] = ((*over_time, "feedback"), cosines)
    variables = {law if key == "law" else key: found[key] for key in records}
    if "law" in records:
        variables[f"{law}_scale"] = (by_layer, scales)
    drift = np.nanmax(np.abs(np.nan_to_num(values - values[..., :1, :])), axis=-2) / 2.0
    drift = np.where(ends[..., None] > 0, drift, np.nan)
    known = np.where(ends > 0, 1.0, np.nan)
    figures = {
        "status": (dims, words),
        "loss.final": (dims, known * np.exp(-20 * rates) * 2),
        f"laws.{law}.kept": (dims, known),
        f"laws.{law}.relative_drift": ((*dims, "hidden_layer"), drift),
    }
    if exponents:
        fits = np.where(words == "completed", "ok", "too-few-points").astype(object)
        figures["exponent.rate"] = (dims, np.where(fits == "ok", rates, np.nan))
        figures["exponent.status"] = (dims, fits)
        figures["exponent.predicted"] = (dims, known * rates * 1.01)
    coords = {key: np.asarray(given) for key, given in axes.items()}
    tree = xr.DataTree.from_dict(
        {
            "/figures": xr.Dataset(figures, coords),
            "/records": xr.Dataset(variables, coords | {"time": (over_time, times)}),
        }
    )
    summary = {"kind": "sweep", "name": name, "members": int(np.prod(shape))}
    return Result(summary, lambda: tree, folder, fresh=True)

"""Stored results made by hand, in the layout that the store writes."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from faflow.store.result import Result, read_summary, read_tree

RNG_SEED = 3
LAYERS = {"hidden_layer": [1, 2], "feedback": [2, 3], "layer": [1, 2, 3]}


def write(
    folder: Path, summary: dict, records: dict, times: np.ndarray, coords=None, events=None
) -> Path:
    """`summary.json` and `result.nc`; `records` is name -> (dims after time, values)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    variables = {name: (("time", *dims), values) for name, (dims, values) in records.items()}
    used = {dim for dims, _ in records.values() for dim in dims}
    axes = {name: c for name, c in (LAYERS if coords is None else coords).items() if name in used}
    dataset = xr.Dataset(variables, coords={"time": times, **axes})
    dataset["time"].attrs["units"] = "time"
    groups = {f"/{name}": xr.Dataset() for name in ("start", "final")} | {"/records": dataset}
    groups |= {} if events is None else {"/events": events}
    tree = xr.DataTree.from_dict(groups)
    tree.to_netcdf(folder / "result.nc", engine="h5netcdf")
    return folder


def read(folder: Path) -> Result:
    """Back, without the checks that the summary would have to be whole for."""
    tree = read_tree(folder)
    return Result(read_summary(folder), lambda: tree, folder, fresh=False)


def summary(name: str, **sections) -> dict:
    """The sections every result has."""
    base = {
        "schema": 1,
        "name": name,
        "status": "completed",
        "t_final": 10.0,
        "loss": {"initial": 1.0, "final": 1e-12},
        "solver": {"name": "tsit5", "rtol": 1e-9, "atol": 1e-12, "steps": 400, "rejected": 5},
    }
    return {**base, **sections}


def wander(rng, times: np.ndarray, shape: tuple[int, ...], size: float) -> np.ndarray:
    """1 plus a random walk of steps `size`: a law as an integrator leaves it."""
    steps = size * rng.standard_normal((len(times), *shape))
    steps[0] = 0.0
    return 1.0 + np.cumsum(steps, axis=0)


def flow_records(times: np.ndarray, rate: float) -> dict:
    """What a linear network's flow would record: exponential decay to rounding, kept laws."""
    rng = np.random.default_rng(RNG_SEED)
    residual = 2.0 * np.exp(-rate * times) * (1 + 0.3 * np.exp(-times)) + 1e-15
    column = times[:, None]
    degrees = np.concatenate([60 - 45 * (1 - np.exp(-column)), 85 - 50 * (1 - np.exp(-column))], 1)
    steps = np.round(400 * (1 - np.exp(-times / 4)) / (1 - np.exp(-times[-1] / 4)))
    return {
        "loss": ((), 0.5 * residual**2),
        "residual": ((), residual),
        "layer-balance": (("hidden_layer",), wander(rng, times, (2,), 1e-12)),
        "layer-balance_scale": (("hidden_layer",), np.full((len(times), 2), 3.0)),
        "neuron-balance_1": (("neuron_1",), wander(rng, times, (5,), 3e-13)),
        "neuron-balance_2": (("neuron_2",), wander(rng, times, (4,), 3e-13)),
        "matrix-balance_1": (("neuron_1", "other_neuron_1"), wander(rng, times, (5, 5), 1e-12)),
        "alignment_degrees": (("feedback",), degrees),
        "alignment_cosine": (("feedback",), np.cos(np.deg2rad(degrees))),
        "alignment_inner": (("feedback",), 3.0 * np.cos(np.deg2rad(degrees))),
        "delta-alignment_degrees": (("hidden_layer",), 0.8 * degrees + 5),
        "norms": (("layer",), 1.0 + (1 - np.exp(-column)) * np.array([[0.2, 0.9, 1.7]])),
        "minimum-norm": ((), 0.8 * np.exp(-rate * times) + 3e-14),
        "exponent": (
            (),
            rate + 0.5 * np.exp(-times) + 1e-14 * rng.standard_normal(len(times)) / residual,
        ),
        "speed": ((), residual),
        "steps": ((), steps.astype(np.int64)),
        "rejected": ((), (steps // 60).astype(np.int64)),
        "field_evaluations": ((), (6 * steps).astype(np.int64)),
    }


def laws(**kept: bool) -> dict:
    return {
        name.replace("_", "-"): {"kept": value, "relative_drift": [0.0], "drift": [0.0]}
        for name, value in kept.items()
    }


def linear(folder: Path) -> Path:
    """All laws kept, a good fit, a certificate, minimum norm."""
    times = np.linspace(0.0, 10.0, 101)
    about = summary(
        "theorem2-linear",
        laws=laws(layer_balance=True, neuron_balance=True, matrix_balance=True),
        alignment={"degrees": [15.0, 35.0], "floor": [0.9, 0.1], "certified": True},
        exponent={
            "observable": "residual",
            "rate": 2.5004,
            "stderr": 3e-4,
            "window": [3.0, 9.0],
            "status": "ok",
            "predicted": 2.5,
            "relative_error": 1.6e-4,
        },
        minimum_norm={"relative_distance": 3e-14, "condition_met": True},
    )
    return write(folder, about, flow_records(times, 2.5), times)


def control(folder: Path) -> Path:
    """A law that the rule does not keep beside one it keeps exactly; no fit; saves in log t."""
    times = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 60)])
    records = flow_records(times, 0.01)
    drifting = 1.0 + np.stack([np.tanh(0.1 * times), 0.3 * np.tanh(times)], axis=1)
    records["layer-balance"] = (("hidden_layer",), drifting)
    exact = np.ones((len(times), 4))
    exact[30:, 0] += 2.2e-16
    records["neuron-balance_2"] = (("neuron_2",), exact)
    del records["neuron-balance_1"], records["matrix-balance_1"], records["minimum-norm"]
    about = summary(
        "control: $\\frac{x_1$ FA* on a_b_c",
        laws=laws(layer_balance=False, neuron_balance=True),
        alignment={"degrees": [15.0, 35.0], "floor": [None, None], "certified": False},
        exponent={
            "observable": "residual",
            "rate": None,
            "stderr": None,
            "window": None,
            "status": "not-exponential",
            "predicted": 0.02,
        },
    )
    return write(folder, about, records, times)


def early(folder: Path) -> Path:
    """A blow-up: after it every record is nan."""
    times = np.linspace(0.0, 10.0, 101)
    records = flow_records(times, 2.5)
    growth = 1.0 / np.maximum(3.73 - times, 1e-9)
    for name in ("loss", "residual"):
        records[name] = ((), growth**4)
    records["norms"] = (("layer",), growth[:, None] ** np.array([1.0, 2.0, 3.0]))
    for name, (dims, values) in records.items():
        if values.dtype.kind == "f":
            values[38:] = np.nan
            records[name] = (dims, values)
    about = summary(
        "blow-up", status="blow-up", t_final=3.7, laws=laws(layer_balance=True, other_law=True)
    )
    return write(folder, about, records, times)


def deep(folder: Path, layers: int = 24) -> Path:
    """More layers than a legend can hold."""
    times = np.linspace(0.0, 10.0, 51)
    rng = np.random.default_rng(RNG_SEED)
    ranks = np.arange(layers)[None, :]
    falling = 90 - 60 * (1 - np.exp(-times[:, None] / (1 + ranks / 5)))
    records = {
        "loss": ((), np.exp(-times)),
        "layer-balance": (("hidden_layer",), wander(rng, times, (layers,), 1e-10)),
        "alignment_degrees": (("feedback",), falling),
        "delta-alignment_degrees": (("hidden_layer",), falling + 5),
        "norms": (("layer",), 1.0 + ranks / 10 + 0.1 * times[:, None]),
    }
    about = summary(
        "deep",
        laws={"layer-balance": {"kept": False, "scale": [2.0] * layers}},
    )
    return write(folder, about, records, times, coords={})


# (time, hidden layer, sample, neuron, what it became): two layers of 3 and 2 neurons, 4 samples.
CHANGES = [
    (0.5, 1, 0, 0, -1),
    (1.0, 1, 1, 0, 0),
    (2.0, 1, 2, 2, 1),
    (3.0, 1, 1, 0, 1),
    (4.0, 2, 3, 1, 0),
    (5.0, 1, 0, 0, 1),
]
SAMPLES, HIDDEN = 4, (3, 2)
ABOVE = {(1, 0, 0), (2, 2, 1)}  # (hidden layer, sample, neuron) with h > 0 at the start


def event_group(times, changes, samples, hidden, above=(), size=None) -> xr.Dataset:
    """The group `events` by replaying `changes`, of which the log keeps the first `size`."""
    places = [(l + 1, s, j) for l, n in enumerate(hidden) for s in range(samples) for j in range(n)]
    counts = np.zeros((len(times), 3), np.int32)
    sliding = np.zeros((len(times), len(hidden)), np.int32)
    seen: list[list[tuple[int, int, int]]] = []
    for i, time in enumerate(times):
        on: set[tuple[int, int, int]] = set()
        for when, layer, sample, unit, became in changes:
            if when <= time:
                place = (layer, sample, unit)
                counts[i, 1 if became == 0 else 2 if place in on else 0] += 1
                on = on | {place} if became == 0 else on - {place}
        sliding[i] = [sum(place[0] == l + 1 for place in on) for l in range(len(hidden))]
        seen.append(sorted(on))
    slots = max(map(len, seen), default=0)
    where = np.full((len(times), slots, 3), -1, np.int32)
    gate = np.full((len(times), slots), np.nan)
    for i, on in enumerate(seen):
        where[i, : len(on)] = np.reshape(on, (-1, 3))
        gate[i, : len(on)] = [0.1 * (layer + sample) for layer, sample, _ in on]
    log = np.asarray(changes[:size], float).reshape(-1, 5).T
    names = ("time", "layer", "sample", "unit", "became")
    logged = {
        f"event_{name}": (("change",), column if name == "time" else column.astype(np.int32))
        for name, column in zip(names, log, strict=True)
    }
    gates = {
        f"gate_{name}": (("time", "slot"), where[..., i])
        for i, name in enumerate(("layer", "sample", "unit"))
    }
    return xr.Dataset(
        {
            "changes": (("time", "kind"), counts),
            "sliding": (("time", "hidden"), sliding),
            "gate": (("time", "slot"), gate),
            "start_above": (("pair",), np.array([place in above for place in places])),
            **gates,
            **logged,
        },
        {
            "time": times,
            "hidden": np.arange(1, len(hidden) + 1),
            "kind": ["crossed", "landed", "left"],
        },
        {"samples": samples, "hidden": np.asarray(hidden)},
    )


def sliding(folder: Path, times=None, size=None, **sections) -> Path:
    """An exact flow of a few changes, also one that slides to the end."""
    times = np.linspace(0.0, 10.0, 101) if times is None else times
    records = {"loss": ((), np.exp(-times))}
    about = summary("sliding", **{"kinks": {"method": "exact"}, **sections})
    events = event_group(times, CHANGES, SAMPLES, HIDDEN, ABOVE, size)
    return write(folder, about, records, times, {}, events)


ALL = {"linear": linear, "control": control, "early": early, "deep": deep, "sliding": sliding}

"""What kernels of infinite width come to, over time, and finite networks beside the limit."""

import numpy as np

from ...store.result import Result
from ..panel import Band, Curve, Level, Panel, brief, last
from ..style import BLACK, GREY, SKY, SOLID, STYLES, layer_colours, named

WIDTH = 2.0  # standard errors on either side


def wide_panels(result: Result) -> list[Panel]:
    """The loss beside finite networks', if there are any; alignment with the targets; G~^l; the
    change of features."""
    if not result.section("wide"):
        return []
    panels = [_beside(result), _targets(result), _signals(result), _features(result)]
    return [panel for panel in panels if panel is not None]


def _beside(result: Result) -> Panel | None:
    """Losses of networks of finite width, their means in bands of two standard errors."""
    finite, limit = result.group("wide_finite"), result.values("loss")
    if finite is None or limit is None:
        return None
    about = result.section("wide")["simulation"]
    widths = finite["width"].values.tolist()
    colours, curves, bands = layer_colours(len(widths)), [], []
    for i, width in enumerate(widths):
        mean, error = (finite[f"loss_{part}"].values[i] for part in ("mean", "error"))
        meaning = f"mean loss of {about['seeds']} networks of width {width}"
        label = f"N = {width}"
        column = f"loss N = {width}"
        curves.append(Curve(column, meaning, mean, label, colours[i], STYLES[(i + 1) % 6]))
        more = f"{meaning}, over and times exp({WIDTH:g} standard errors / mean)"
        apart = np.exp(WIDTH * error / mean)  # on a log axis as wide below as above
        low, high = mean / apart, mean * apart
        bands.append(Band(f"{column} band", more, low, high, None, colours[i], 0.15))
    curves.append(Curve("limit", "loss at infinite width", limit, "N → ∞", BLACK, width=0.9))
    told = f"{about['seeds']} networks each; bands: ± {WIDTH:g} standard errors"
    if about["power"] is not None:
        told = f"squared distance ~ N^({brief(about['power'], 2)} ± "
        told += f"{brief(about['power_stderr'], 1)}), {about['seeds']} networks each"
    return Panel([told], "loss", curves, bands=bands)


def _targets(result: Result) -> Panel | None:
    values = result.values("target-alignment")
    if values is None:
        return None
    title = f"A(K, yyᵀ): {brief(values[0])} → {brief(last(values))}"
    curve = Curve("target-alignment", "y^T K y / (|K| |y|^2)", values)
    limit = (result.section("wide").get("limit") or {}).get("target_alignment")
    levels = [] if limit is None else [Level(limit, "its limit", GREY)]
    batches = result.group("wide_batches")
    bands = [] if batches is None else [_band(batches, "target_alignment")]
    return Panel([title], "A(K, yyᵀ)", [curve], "linear", bands, levels=levels)


def _signals(result: Result) -> Panel | None:
    """G~^l of the hidden layers."""
    values = result.values("signal-alignment")
    if values is None:
        return None
    limits = (result.section("wide").get("limit") or {}).get("alignments") or []
    curves = _per_layer(values[:, :-1], "G~", "alignment of backward signals, layer")
    levels = [Level(float(limit), None, GREY) for limit in limits[:-1]]
    title = "backward signals" + (" (grey: in the limit t → ∞)" if levels else "")
    return Panel([title], "G̃ (mean over samples)", curves, "linear", levels=levels)


def _features(result: Result) -> Panel | None:
    values = result.values("feature-change")
    if values is None:
        return None
    batches = result.group("wide_batches")
    bands = [] if batches is None else [_band(batches, "feature_change")]
    curves = _per_layer(values, "features", "relative change of the features' kernel, layer")
    title = f"features: the last layer's kernel moves by {brief(last(values[:, -1]))} of itself"
    return Panel([title], "‖Φ − Φ(0)‖ / ‖Φ(0)‖", curves, "linear", bands)


def _per_layer(values: np.ndarray, column: str, meaning: str) -> list[Curve]:
    count = values.shape[1]
    colours, labels = layer_colours(count), named([f"layer {i + 1}" for i in range(count)])
    few = all(label is not None for label in labels)
    return [
        Curve(
            f"{column} {i + 1}", f"{meaning} {i + 1}", values[:, i], labels[i], colours[i],
            STYLES[i] if few else SOLID,
        )
        for i in range(count)
    ]  # fmt: skip


def _band(batches, name: str) -> Band:
    """Two standard errors of the mean over batches, of the last layer."""
    mean, error = (batches[f"{name}_{part}"].values for part in ("mean", "error"))
    if mean.ndim > 1:
        mean, error = mean[:, -1], error[:, -1]
    meaning = f"{name}, mean over batches -+ {WIDTH:g} standard errors"
    label = f"batches ± {WIDTH:g} std. errors"
    low, high = mean - WIDTH * error, mean + WIDTH * error
    return Band(f"{name} band", meaning, low, high, label, SKY)

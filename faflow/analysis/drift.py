"""Was a law kept? Its drift over a recorded flow."""

from typing import NamedTuple

import numpy as np

from .._numbers import Numbers, Values


class LawDrift(NamedTuple):
    """max_t |Q(t) - e^{-decay t} Q(0)|, one entry per layer of the law (largest over entries).

    `scale`: the law's scale, its largest over time and entries; `relative` = drift / scale;
    `worst_time`: when the drift was largest.
    """

    drift: np.ndarray
    scale: np.ndarray
    relative: np.ndarray
    worst_time: np.ndarray


def law_drift(
    law_values: Values,
    law_scales: Values,
    ts: Numbers,
    reached: Numbers,
    decay: Numbers = 0.0,
) -> LawDrift:
    """The drift of a recorded law; `law_values` and `law_scales` have a leading axis of saves.

    `decay`: one number, or one per layer.
    """
    kept = np.asarray(reached, bool)
    since, values_of = np.asarray(ts)[kept], _by_layer(law_values)
    rates = np.broadcast_to(np.asarray(decay, float), (len(values_of),))
    expected = [
        np.exp(-rate * (since - since[:1]))[:, None] * values[kept][:1]
        for values, rate in zip(values_of, rates, strict=True)
    ]
    return _deviation(values_of, expected, law_scales, ts, kept)


def forecast_error(
    law_values: Values, predicted: Values, law_scales: Values, ts: Numbers, reached: Numbers
) -> LawDrift:
    """max_t |Q(t) - Q_predicted(t)| of a recorded law, as `law_drift` reports a drift."""
    kept = np.asarray(reached, bool)
    expected = [values[kept] for values in _by_layer(predicted)]
    return _deviation(_by_layer(law_values), expected, law_scales, ts, kept)


def _deviation(
    values_of: list[np.ndarray],
    expected_of: list[np.ndarray],
    law_scales: Values,
    ts: Numbers,
    kept: np.ndarray,
) -> LawDrift:
    """The largest deviation of values (all saves) from expected ones (the reached), per layer."""
    times, worst, scales, when = np.asarray(ts)[kept], [], [], []
    layers = zip(values_of, expected_of, _by_layer(law_scales), strict=True)
    for values, expected, scale in layers:
        values, scale = values[kept], scale[kept]
        drift = np.max(np.abs(values - expected), axis=1)
        worst.append(np.max(drift))
        scales.append(np.max(scale))
        when.append(times[np.argmax(drift)])
    drift, scale = np.asarray(worst), np.asarray(scales)
    relative = np.divide(drift, scale, out=np.zeros_like(drift), where=scale != 0)
    return LawDrift(drift, scale, relative, np.asarray(when))


def _by_layer(record: Values) -> list[np.ndarray]:
    """One (saves, entries) array per layer, whether layers are an axis or pytree leaves."""
    if isinstance(record, tuple | list):
        return [np.asarray(leaf).reshape(len(leaf), -1) for leaf in record]
    return [column[:, None] for column in np.asarray(record).T]

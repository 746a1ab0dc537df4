"""The exponent fit on signals whose answer is known, and its refusals."""

import numpy as np
import pytest

from faflow.analysis import fit_exponent

TS = np.linspace(0.0, 10.0, 201)


def test_a_pure_exponential_is_recovered():
    fit = fit_exponent(TS, 3.0 * np.exp(-1.7 * TS))
    assert fit.status == "ok"
    assert fit.rate == pytest.approx(1.7, rel=1e-12)
    assert fit.stderr < 1e-11


def test_a_faster_mode_dies_out_before_the_window():
    # 1 + e^{-2t}: at the window's start, 2/3 of the way down in log residual, e^{-2 * 6} is left.
    fit = fit_exponent(TS, np.exp(-2.0 * TS) * (1 + np.exp(-2.0 * TS)))
    assert fit.status == "ok"
    assert fit.rate == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("noise", [1e-6, 1e-9])
def test_the_noise_floor_is_found_and_left_out(noise):
    rng = np.random.default_rng(0)
    signal = np.exp(-3.0 * TS) + noise * np.abs(rng.normal(size=TS.size))
    fit = fit_exponent(TS, signal)
    assert fit.status == "ok"
    assert noise / 10 < fit.floor < 10 * noise
    assert fit.rate == pytest.approx(3.0, rel=0.02)
    assert abs(fit.rate - 3.0) < 3 * fit.stderr + 1e-2
    # Control: a line through everything is far off.
    assert -np.polyfit(TS, np.log(signal), 1)[0] < 2.4


def test_noise_that_comes_too_early_is_refused():
    signal = np.exp(-3.0 * TS) + 0.02
    fit = fit_exponent(TS, signal)
    assert fit.status == "floor-reached" and np.isnan(fit.rate)


def test_a_slow_mode_is_not_taken_for_noise():
    # The slow mode takes over at 0.05, and every point is exact: the fit is of the slow mode.
    signal = np.exp(-20.0 * TS) + 0.05 * np.exp(-0.5 * TS)
    fit = fit_exponent(TS, signal)
    assert fit.status == "ok" and fit.rate == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_power_law_is_not_exponential(power):
    ts = np.concatenate([[0.0], np.geomspace(1e-2, 1e4, 200)])
    assert fit_exponent(ts, (1 + ts) ** -power).status == "not-exponential"


def test_what_does_not_decay_is_refused():
    assert fit_exponent(TS, np.ones_like(TS)).status == "not-decaying"
    assert fit_exponent(TS, np.exp(0.3 * TS)).status == "not-decaying"
    assert fit_exponent(TS, 1 + np.exp(-TS)).status == "not-decaying"


def test_too_few_points_are_refused():
    assert fit_exponent(TS[:5], np.exp(-TS[:5])).status == "too-few-points"
    sparse = TS[::20]
    assert fit_exponent(sparse, np.exp(-sparse)).status == "too-few-points"


def test_unreached_slots_and_zeros_are_ignored():
    signal = np.exp(-TS)
    signal[150:] = np.nan
    times = np.where(np.isnan(signal), np.nan, TS)
    assert fit_exponent(times, signal).rate == pytest.approx(1.0, rel=1e-10)
    assert fit_exponent(TS, np.zeros_like(TS)).status == "too-few-points"


def test_a_window_of_ones_own():
    signal = np.exp(-TS) + np.exp(-5 * TS)
    fit = fit_exponent(TS, signal, window=(6.0, 9.0))
    assert fit.window == (6.0, 9.0)
    assert fit.rate == pytest.approx(1.0, rel=1e-6)


def test_noise_that_falls_slowly_is_no_late_decay():
    """Where 200 units of time are saved and the decay takes 5, what is left to fit is noise that
    wanders down: it is no reason to run longer."""
    ts = np.arange(201.0)
    wandering = 1e-9 * np.exp(-0.05 * ts) * (1 + 0.5 * np.sin(ts))
    fit = fit_exponent(ts, np.exp(-4.0 * ts) + wandering)
    assert fit.status == "floor-reached" and np.isnan(fit.rate)
    # Controls: a slow mode and a power law at the same level, which fall all the time, and a
    # decay that oscillates from the start, are no noise.
    slow = 1e-9 * np.exp(-0.05 * ts) * (1 + 0.5 * np.exp(-0.02 * ts))
    assert fit_exponent(ts, np.exp(-4.0 * ts) + slow).status != "floor-reached"
    turning = np.exp(-0.15 * ts) * (1 + 0.9 * np.cos(0.2 * ts))
    assert fit_exponent(ts, turning).status != "floor-reached"
    # Noise that falls all the time is told from a slow mode by the field's pull alone.
    fall = np.exp(-4.0 * ts) + slow
    own = -np.gradient(np.log(fall), ts)
    assert fit_exponent(ts, fall, pull=0 * ts + 4.0).status == "floor-reached"
    assert fit_exponent(ts, fall, pull=own).status != "floor-reached"

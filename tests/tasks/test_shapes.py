"""Data of any shape: images, signals, prompts, tokens; what is known of each is told by numpy."""

import numpy as np
import pytest

from faflow.tasks import bayes_prediction, make_task, one_step_prediction

KINDS = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_the_same_pixels(kind):
    flat, image = (make_task(kind, key=2, samples=12, image=image) for image in (False, True))
    assert image.data.inputs.shape == (12, *KINDS[kind])
    np.testing.assert_array_equal(image.data.inputs.reshape(12, -1), flat.data.inputs)
    np.testing.assert_array_equal(image.data.targets, flat.data.targets)
    assert image.facts["sample_shape"] == " x ".join(map(str, KINDS[kind]))
    other = make_task(kind, key=3, samples=12, image=True)
    assert not np.array_equal(other.data.inputs, image.data.inputs)


def test_an_image_is_the_right_way_up():
    """Rows of pixels, as scikit-learn has its images; transposed ones are others."""
    from sklearn.datasets import load_digits

    ours = np.asarray(make_task("digits", key=0, image=True).data.inputs)[:, 0]
    np.testing.assert_array_equal(ours, load_digits().images / 16)
    assert not np.array_equal(ours, load_digits().images.swapaxes(1, 2) / 16)


def test_images_are_standardised_pixel_by_pixel():
    task = make_task("digits", key=0, samples=60, image=True, standardise=True)
    x = np.asarray(task.data.inputs)
    raw = np.asarray(make_task("digits", key=0, samples=60, image=True).data.inputs)
    moving = raw.std(axis=0) > 0
    assert task.facts["constant_features"] == np.sum(~moving) > 0
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), moving, atol=1e-12)
    flat = make_task("digits", key=0, samples=60, standardise=True).data.inputs
    np.testing.assert_array_equal(x[:, moving], flat)


def test_a_signal_shows_its_class_in_its_spectrum():
    options = {"key": 1, "samples": 40, "channels": 2, "length": 24, "classes": 4}
    task = make_task("signals", noise=0.0, **options)
    assert task.data.inputs.shape == (40, 2, 24) and task.data.targets.shape == (40, 4)
    power = np.abs(np.fft.rfft(np.asarray(task.data.inputs), axis=-1)) / 12
    labels = np.asarray(task.data.targets).argmax(axis=1)
    np.testing.assert_allclose(power[..., 1:5], np.eye(4)[labels][:, None].repeat(2, 1), atol=1e-12)
    np.testing.assert_allclose(np.sort(power[..., 5:], axis=-1)[..., -1], 0.5, atol=1e-12)
    np.testing.assert_array_equal(np.bincount(labels), [10] * 4)
    noisy = make_task("signals", noise=0.3, **options)
    noise = np.asarray(noisy.data.inputs - task.data.inputs)
    assert noise.std() == pytest.approx(0.3, rel=0.1)  # 1,920 numbers: 1.6 %
    np.testing.assert_array_equal(noisy.data.targets, task.data.targets)


def test_a_prompt_tells_its_regression():
    task = make_task("in-context-regression", key=0, samples=6, dimension=3, length=4)
    prompts, y = np.asarray(task.data.inputs), np.asarray(task.data.targets)
    assert prompts.shape == (6, 5, 4) and y.shape == (6, 1)
    np.testing.assert_array_equal(prompts[:, -1, -1], 0.0)
    for prompt, target in zip(prompts, y, strict=True):
        w = np.linalg.lstsq(prompt[:-1, :-1], prompt[:-1, -1], rcond=None)[0]
        np.testing.assert_allclose(prompt[-1, :-1] @ w, target[0], atol=1e-10)
    assert task.facts["best_loss"] < 1e-20 < 1e-3 < task.facts["one_step_loss"]


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_predictions_of_a_prompt(noise):
    """Ridge regression by its normal equations; one step by numpy, one prompt at a time."""
    task = make_task("in-context-regression", key=1, samples=5, dimension=4, length=6, noise=noise)
    prompts = np.asarray(task.data.inputs)
    ridge, step = bayes_prediction(prompts, noise), one_step_prediction(prompts, 0.3)
    for i, prompt in enumerate(prompts):
        a, y, query = prompt[:-1, :-1], prompt[:-1, -1], prompt[-1, :-1]
        w = np.linalg.solve(a.T @ a + noise**2 * np.eye(4), a.T @ y)
        np.testing.assert_allclose(ridge[i, 0], query @ w, rtol=1e-8)
        gradient = sum(-y_i * x_i for x_i, y_i in zip(a, y, strict=True)) / 6  # at w = 0
        np.testing.assert_allclose(step[i, 0], query @ (-0.3 * gradient), rtol=1e-12)
    assert task.facts["best_loss"] == pytest.approx(
        float(np.mean((ridge - np.asarray(task.data.targets)) ** 2) / 2)
    )


def test_losses_of_prompts_are_those_of_the_theory():
    """1/2 d (d + 1) / (n + d + 1) of one step, (d - n) / 2 of least squares, to sampling error
    (of a few per cent); other steps are worse."""
    task = make_task("in-context-regression", key=0, samples=20_000, dimension=4, length=3)
    assert task.facts["one_step_loss"] == pytest.approx(0.5 * 4 * 5 / 8, rel=0.05)
    assert task.facts["best_loss"] == pytest.approx(0.5, rel=0.07)
    y = np.asarray(task.data.targets)
    for step in (0.2, 0.6):
        other = one_step_prediction(np.asarray(task.data.inputs), step)
        assert np.mean((other - y) ** 2) / 2 > 1.05 * task.facts["one_step_loss"]


def test_the_noise_of_a_prompt_is_not_in_its_target():
    clean, noisy = (
        make_task("in-context-regression", key=1, samples=400, dimension=2, length=5, noise=noise)
        for noise in (0.0, 0.5)
    )
    np.testing.assert_array_equal(clean.data.targets, noisy.data.targets)
    apart = np.asarray(noisy.data.inputs - clean.data.inputs)
    assert apart[:, :-1, -1].std() == pytest.approx(0.5, rel=0.1)
    assert not apart[:, -1].any() and not apart[..., :-1].any()
    with pytest.raises(ValueError, match=r"prompts.*shape"):
        bayes_prediction(np.ones((3, 4)))


def test_modular_addition_is_a_cyclic_convolution():
    task = make_task("modular-addition", key=0, modulus=5, loss="cross-entropy")
    x, y = np.asarray(task.data.inputs), np.asarray(task.data.targets)
    assert x.shape == (25, 2, 5) and y.shape == (25, 5)
    a, b = np.fft.rfft(x, axis=-1).swapaxes(0, 1)
    np.testing.assert_allclose(np.fft.irfft(a * b, 5), y, atol=1e-12)
    assert not np.allclose(np.fft.irfft(a * b.conj(), 5), y)  # (a - b) mod p
    assert len(np.unique(x.reshape(25, -1), axis=0)) == 25


def test_tokens_are_whole_numbers():
    options = {"key": 3, "modulus": 5, "share": 0.4}
    task = make_task("modular-addition", tokens=True, **options)
    x = task.data.inputs
    assert x.shape == (10, 2) and np.issubdtype(x.dtype, np.integer)
    assert task.facts["tokens"] <= 5 and "rank" not in task.facts
    labels = np.asarray(task.data.targets).argmax(axis=1)
    np.testing.assert_array_equal(labels, np.asarray(x).sum(axis=1) % 5)
    hot = np.asarray(make_task("modular-addition", **options).data.inputs)
    np.testing.assert_array_equal(hot.argmax(axis=-1), x)

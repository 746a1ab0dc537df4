from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.networks import ACTIVATIONS, MLP
from faflow.tasks import TASKS, from_teacher, make_task, task_facts

OPTIONS = {
    "gaussian": {"samples": 5, "features": 8, "outputs": 2, "noise": 0.1},
    "teacher": {"samples": 5, "widths": [8, 3, 2], "activation": "relu"},
    "matrix-factorisation": {"rows": 6, "columns": 5, "spectrum": [3.0, 2.0]},
    "separating-factorisation": {"rank": 2, "tail": 8, "tail_energy": 0.5},
    "near-identity-factorisation": {"size": 5, "spread": 0.1},
    "digits": {"samples": 7},
    "diabetes": {"samples": 7},
    "mnist": {"samples": 7},
    "signals": {"samples": 5, "channels": 2, "length": 12, "classes": 2},
    "in-context-regression": {"samples": 5, "dimension": 2, "length": 3},
    "modular-addition": {"modulus": 3, "samples": 4},
    "arrays": {},
}


@pytest.fixture
def options(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", X=rng.standard_normal((5, 7)), y=np.arange(5.0))
    return {**OPTIONS, "arrays": {"file": str(tmp_path / "a.npz")}}


@pytest.mark.parametrize("kind", TASKS)
def test_every_task(kind, options):
    task = make_task(kind, key=3, reduction="mean", **options[kind])
    x, y = np.asarray(task.data.inputs), np.asarray(task.data.targets)
    assert task.name == kind
    flat = x.reshape(len(x), -1)
    assert (task.facts["samples"], task.facts["features"]) == flat.shape
    assert (task.facts["samples"], task.facts["outputs"]) == y.shape
    assert all(type(fact) in (int, float, str) for fact in task.facts.values())
    assert task.facts["rank"] == np.linalg.matrix_rank(flat)
    assert ("sample_shape" in task.facts) == (x.ndim > 2)
    assert float(task.data.weight) == pytest.approx(1 / len(x))

    again = make_task(kind, key=3, **options[kind])
    np.testing.assert_array_equal(again.data.inputs, x)
    np.testing.assert_array_equal(again.data.targets, y)


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_can_be_prepared(kind, options):
    task = make_task(kind, key=3, whiten="rows", scale=2.0, **options[kind])
    shape = task.data.inputs.shape
    x = np.asarray(task.data.inputs).reshape(shape[0], -1)
    np.testing.assert_allclose(x @ x.T, 4 * np.eye(len(x)), atol=1e-10)
    prepared = make_task(kind, key=3, standardise=True, **options[kind])
    np.testing.assert_allclose(np.asarray(prepared.data.inputs).mean(axis=0), 0, atol=1e-10)
    if len(shape) == 2:
        assert "dropped_features" in prepared.facts
    else:
        assert prepared.data.inputs.shape == shape and "constant_features" in prepared.facts


@pytest.mark.parametrize(
    "kind",
    ["gaussian", "teacher", "digits", "mnist", "diabetes", "signals", "in-context-regression",
     "modular-addition"],
)  # fmt: skip
def test_another_key_is_another_draw(kind, options):
    draws = [make_task(kind, key=key, **options[kind]) for key in (jax.random.key(0), 1)]
    assert not np.array_equal(draws[0].data.inputs, draws[1].data.inputs)


def test_old_and_new_style_keys_agree():
    draws = [
        make_task("gaussian", key=key, samples=3, features=2)
        for key in (jax.random.key(5), jax.random.PRNGKey(5))
    ]
    np.testing.assert_array_equal(draws[0].data.inputs, draws[1].data.inputs)


def test_gaussian_linear_teacher_fits_the_prepared_inputs():
    task = make_task("gaussian", key=0, samples=30, features=4, standardise=True, whiten="features")
    x, y = np.asarray(task.data.inputs), np.asarray(task.data.targets)
    fit = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(x @ fit, y, atol=1e-12)


def test_gaussian_statistics_and_random_targets():
    task = make_task("gaussian", key=0, samples=4000, features=3, target="random")
    both = np.hstack([task.data.inputs, task.data.targets])
    # 4,000 rows: standard errors of means and second moments are at most 0.016 and 0.022.
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(both.T @ both / 4000, np.eye(4), atol=0.12)


@pytest.mark.parametrize("activation", ["linear", "relu", "erf"])
def test_teacher_labels_the_prepared_inputs(activation):
    rng = np.random.default_rng(0)
    network = MLP(
        tuple(jnp.asarray(rng.standard_normal(s)) for s in ((3, 4), (2, 3))),
        activation=ACTIVATIONS[activation](),
    )
    task = make_task(partial(from_teacher, network, samples=6), key=0, scale=2.0)
    assert task.name == "from-teacher"
    np.testing.assert_allclose(task.data.targets, network(task.data.inputs), rtol=1e-12)


def test_factorisation_has_the_spectrum():
    task = make_task("matrix-factorisation", key=0, **OPTIONS["matrix-factorisation"])
    y = np.asarray(task.data.targets).T
    assert y.shape == (6, 5)
    np.testing.assert_allclose(np.linalg.svd(y)[1], [3, 2, 0, 0, 0], atol=1e-14)
    np.testing.assert_array_equal(task.data.inputs, np.eye(5))
    assert task.facts["target_rank"] == 2


def test_factorisation_families_have_their_spectra():
    """Y (n, n): rank ones and a tail of sqrt(K / N); and 1 + spread down to 1."""
    spectra = {
        "separating-factorisation": [1.0] * 2 + [0.25] * 8,
        "near-identity-factorisation": [1.1, 1.075, 1.05, 1.025, 1.0],
    }
    for kind, spectrum in spectra.items():
        y = np.asarray(make_task(kind, key=0, **OPTIONS[kind]).data.targets).T
        assert y.shape == (len(spectrum),) * 2
        np.testing.assert_allclose(np.linalg.svd(y)[1], spectrum, atol=1e-14)


def test_digits_and_mnist_targets():
    for kind, features in (("digits", 64), ("mnist", 784)):
        task = make_task(kind, key=0, samples=20, loss="cross-entropy")
        assert task.data.inputs.shape == (20, features)
        np.testing.assert_array_equal(np.asarray(task.data.targets).sum(axis=0), 2)
        assert 0 <= float(task.data.inputs.min()) < float(task.data.inputs.max()) <= 1
        signs = make_task(kind, key=0, classes=[7, 1], samples=9, target="sign")
        assert np.asarray(signs.data.targets).sum() == -1  # five of class 7 (-1), four of class 1
        values = make_task(kind, key=0, classes=[7, 1], samples=9, target="value", balanced=False)
        assert set(np.asarray(values.data.targets).ravel()) <= {1.0, 7.0}


def test_sign_is_minus_one_for_the_first_class():
    options = {"key": 0, "classes": [7, 1], "samples": 9}
    signs = np.asarray(make_task("digits", target="sign", **options).data.targets)
    values = np.asarray(make_task("digits", target="value", **options).data.targets)
    np.testing.assert_array_equal(signs, np.where(values == 7, -1, 1))


def test_whole_data_sets():
    assert make_task("digits", key=0).data.targets.shape == (1797, 10)
    assert make_task("diabetes", key=0).data.inputs.shape == (442, 10)


BAD = [
    ("gausian", {}, ["kind", "did you mean 'gaussian'"]),
    ("gaussian", {"features": 3}, ["`samples`", "missing"]),
    ("gaussian", {"samples": 3, "features": 3, "nois": 1.0}, ["nois", "did you mean 'noise'"]),
    ("gaussian", {"samples": 0, "features": 3}, ["samples", "0"]),
    ("gaussian", {"samples": 2, "features": 3, "noise": -1.0}, ["noise", "-1.0"]),
    ("gaussian", {"samples": 2, "features": 3, "target": "x"}, ["target", "linear, random"]),
    ("teacher", {"samples": 2, "widths": [3]}, ["widths", "[3]"]),
    ("teacher", {"samples": 2, "widths": [3, 0, 1]}, ["widths", "0"]),
    ("teacher", {"samples": 2, "widths": [3, 1], "activation": "rely"}, ["'relu'"]),
    ("matrix-factorisation", {"rows": 3, "columns": 2, "spectrum": [1.0] * 3}, ["spectrum", "3"]),
    ("matrix-factorisation", {"rows": 3, "columns": 2, "spectrum": [-1.0]}, ["spectrum", "-1"]),
    ("separating-factorisation", {"rank": 0, "tail": 4, "tail_energy": 1.0}, ["rank", "0"]),
    ("separating-factorisation", {"rank": 2, "tail": 4, "tail_energy": -1.0}, ["tail_energy"]),
    ("separating-factorisation", {"rank": 2, "tail": 0, "tail_energy": 1.0}, ["tail", "0"]),
    ("near-identity-factorisation", {"size": 3, "spread": -1.0}, ["spread", "-1"]),
    ("digits", {"samples": 1798}, ["samples", "1798", "balanced = false"]),
    ("digits", {"samples": 1798, "balanced": False}, ["samples", "1798", "1797"]),
    ("digits", {"classes": [3, 10]}, ["classes", "[3, 10]"]),
    ("digits", {"classes": [3, 3]}, ["classes", "[3, 3]"]),
    ("digits", {"target": "sign"}, ["target", "two classes"]),
    ("diabetes", {"samples": 443}, ["samples", "443", "442"]),
    ("diabetes", {"target": "sign"}, ["target", "value"]),
    ("diabetes", {"classes": [1]}, ["diabetes", "classes"]),
    ("signals", {"samples": 4, "classes": 1}, ["classes", "1"]),
    ("signals", {"samples": 4, "length": 8}, ["length", "9", "8"]),
    ("signals", {"samples": 4, "noise": -1.0}, ["noise", "-1.0"]),
    ("in-context-regression", {"samples": 4, "dimension": 0, "length": 3}, ["dimension", "0"]),
    ("in-context-regression", {"samples": 4, "dimension": 2, "length": 0}, ["length", "0"]),
    ("modular-addition", {"modulus": 1}, ["modulus", "1"]),
    ("modular-addition", {"modulus": 5, "share": 0.0}, ["share", "0.0"]),
    ("modular-addition", {"modulus": 5, "share": 0.5, "samples": 3}, ["samples", "3", "0.5"]),
    ("modular-addition", {"modulus": 5, "samples": 26}, ["samples", "26", "25"]),
    ("modular-addition", {"modulus": 5, "tokens": True, "whiten": "rows"}, ["whiten", "tokens"]),
    ("modular-addition", {"modulus": 5, "tokens": True, "scale": 2.0}, ["scale", "tokens"]),
    ("digits", {"image": True, "whiten": "features"}, ["whiten", "(1, 8, 8)", "rows"]),
]


@pytest.mark.parametrize(("kind", "options", "words"), BAD)
def test_bad_options_are_one_line(kind, options, words):
    with pytest.raises(ValueError) as caught:
        make_task(kind, key=0, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_own_kind_is_one_function():
    def parity(*, key, bits=3):
        x = np.array([[1 - 2 * (i >> b & 1) for b in range(bits)] for i in range(2**bits)])
        return x, x.prod(axis=1)

    task = make_task(parity, key=0, bits=2)
    assert (task.name, task.facts["samples"], task.facts["rank"]) == ("parity", 4, 2)


@pytest.mark.parametrize(
    ("x", "word"), [(np.ones(3), "(3,)"), (np.full((2, 2), np.nan), "nan"), ([["a"]], "<U1")]
)
def test_own_kind_is_checked_before_it_is_whitened(x, word):
    with pytest.raises(ValueError, match="inputs") as caught:
        make_task(lambda *, key: (np.asarray(x), np.ones(2)), key=0, whiten="rows")
    assert word in str(caught.value)


def test_zero_inputs_have_no_condition():
    assert "condition" not in task_facts(np.zeros((2, 3)), np.ones((2, 1)))

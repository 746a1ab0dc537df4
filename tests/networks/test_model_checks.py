"""Modules, rules and feedback that no model can have are refused in one line each."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_nets import KEY, Net, drawn, net_of

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian, MeanField
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import MLP, Model
from faflow.rules import (
    DirectFeedbackAlignment,
    FeedbackAlignment,
    Gradient,
    KolenPollack,
    MeanFieldRates,
    WeightNormalisation,
)
from faflow.tasks import make_data

DATA = make_data(drawn(0, 5, 3), drawn(1, 5, 2))


class Calls(eqx.Module):
    """The weights and a function of them and x."""

    weight: jax.Array
    function: object = eqx.field(static=True)

    def __call__(self, x):
        return self.function(self.weight, x)


def calls(function):
    return lambda: Calls(jnp.asarray(drawn(0, 2, 3)), function)


class Two(eqx.Module):
    used: jax.Array
    unused: jax.Array

    def __call__(self, x):
        return self.used @ x


COUNTER = iter(range(100))
NORMED = lambda: eqx.nn.BatchNorm(3, "batch", mode="ema")  # noqa: E731
REFUSED = {
    "a class": (lambda: Net, "is the class Net"),
    "no Module": (lambda: "net", "is a str; derive it from eqx.Module"),
    "a state": (NORMED, "keeps a state of its own"),
    "dropout": (lambda: eqx.nn.Dropout(0.5), "draws random numbers"),
    "float32": (
        lambda: eqx.nn.Linear(3, 2, key=KEY, dtype=jnp.float32),
        "Leaf `weight` of Linear is float32 in a float64 run",
    ),
    "nothing moves": (lambda: eqx.nn.Identity(), "no array that moves"),
    "shape": (calls(lambda w, x: w.T @ (w @ x)), "outputs of shape (3,)"),
    "no array": (calls(lambda w, x: (w @ x, x)), "outputs of shape no array"),
    "fails": (calls(lambda w, x: w @ x[:2]), "fails on a sample of shape (3,)"),
    "a Python if": (calls(lambda w, x: w @ x if x[0] > 0 else -w @ x), "Python `if`"),
    "another every time": (calls(lambda w, x: w @ x + next(COUNTER)), "another function"),
    "unheard": (
        lambda: Two(jnp.asarray(drawn(0, 2, 3)), jnp.asarray(drawn(0, 3))),
        "Leaf `unused` of Two does not reach",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_model_is_refused_in_one_line(fault):
    make, words = REFUSED[fault]
    with pytest.raises(ValueError) as caught:
        FlowProblem(FeedbackAlignment(), make(), Feedback((), "layerwise"), DATA)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_and_feedback_that_need_layers_say_so():
    net = net_of(3, 4, 4, 2)
    model = Model(net)
    back = model_feedback(Gaussian(), KEY, model, DATA.inputs)
    refused = {
        "Net names none; give them as `Model": lambda: FlowProblem(
            DirectFeedbackAlignment(), net, Feedback(), DATA
        ),
        "MeanFieldRates modifies layers by their widths": lambda: FlowProblem(
            MeanFieldRates(Gradient()), net, Feedback(), DATA
        ),
        "does not tell its read-out; give `layers`": lambda: FlowProblem(
            WeightNormalisation(Gradient()), net, Feedback(), DATA
        ),
        "'layers.7', which names no leaf": lambda: FlowProblem(
            WeightNormalisation(Gradient(), layers=("layers.7",)), net, Feedback(), DATA
        ),
        "has feedback for 2 leaves": lambda: FlowProblem(
            KolenPollack(), net, Feedback(back.matrices[:1], "layerwise"), DATA
        ),
        "feedback of `layers.1.weight` has the shape": lambda: FlowProblem(
            FeedbackAlignment(), net, Feedback(back.matrices[::-1], "layerwise"), DATA
        ),
        "does not tell which of its leaves": lambda: model_feedback(
            MeanField(), KEY, model, DATA.inputs
        ),
        "has a kink; use tsit5": lambda: integrate(
            FlowProblem(Gradient(), calls(lambda w, x: jax.nn.relu(w @ x))(), Feedback(), DATA),
            np.array([0.0, 1.0]),
            {},
            Numerics(solver="bdf"),
        ),
        "Exact integration": lambda: integrate(
            FlowProblem(Gradient(), net, Feedback(), DATA),
            np.array([0.0, 1.0]),
            {},
            Numerics(kinks="exact"),
        ),
        "names no leaf of Net": lambda: Model(net, frozen=["layer"]),
    }
    for words, make in refused.items():
        with pytest.raises(ValueError, match=words):
            make()


def test_images_for_layers_and_models_for_what_needs_them_say_so():
    images = make_data(drawn(2, 5, 1, 4, 4), drawn(1, 5, 2))
    mlp = MLP((jnp.asarray(drawn(3, 2, 3)),))
    with pytest.raises(ValueError, match=r"takes vectors, but a sample has the shape \(1, 4, 4\)"):
        FlowProblem(Gradient(), mlp, Feedback(), images)
    with pytest.raises(AttributeError, match="Model is no network of layers"):
        _ = Model(net_of(3, 2)).weights

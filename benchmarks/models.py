"""What the fields of models cost beside `jax.grad` of the same loss, and an MLP's as a Module.

`python benchmarks/models.py` (development environment, two minutes). Of each shipped model the
field of feedback alignment, and of direct feedback alignment, against `jax.grad` of the loss; of an
MLP written as a Module against the hand-written sweep. Seconds: CPU, one core, the least of many.
Operations: matrix products, convolutions and fusions of the compiled program: were the forward pass
made twice, its products would be counted twice.
"""

import re
import sys
import time
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import measuring  # noqa: F401 (one core, float64)
import numpy as np

from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.networks import MLP, Model
from faflow.networks.activations import Tanh
from faflow.networks.models import CNN, ResNet, Transformer
from faflow.rules import DirectFeedbackAlignment, FeedbackAlignment
from faflow.tasks import make_data

KEY = jax.random.key(0)
SAMPLES = 64
# name: the module, the shape of a sample
MODELS = {
    "cnn": (CNN((1, 8, 8), 10, key=KEY), (1, 8, 8)),
    "cnn, max pooling": (CNN((1, 8, 8), 10, key=KEY, pooling="max"), (1, 8, 8)),
    "resnet": (ResNet((1, 8, 8), 10, key=KEY), (1, 8, 8)),
    "resnet, norm": (ResNet((1, 8, 8), 10, key=KEY, norm=True), (1, 8, 8)),
    "transformer": (Transformer(4, 2, key=KEY), (16, 4)),
    "transformer, norm, swiglu": (
        Transformer(4, 2, key=KEY, norm=True, unit="swiglu"),
        (16, 4),
    ),
}
COUNTED = {"products": r"\b(?:dot|convolution)\(", "fusions": r"\bfusion\("}


def compiled(function, *given):
    return jax.jit(function).lower(*given).compile()


def operations(program) -> Counter[str]:
    text = program.as_text()
    found = Counter({name: len(re.findall(form, text)) for name, form in COUNTED.items()})
    return found


def seconds(program, *given) -> float:
    jax.block_until_ready(program(*given))
    least, begun = np.inf, time.perf_counter()
    while time.perf_counter() - begun < 1.0:
        start = time.process_time()
        jax.block_until_ready(program(*given))
        least = min(least, time.process_time() - start)
    return least


def compare(what: str, field, other, *given) -> None:
    """A row: the field against the other."""
    programs = [compiled(function, *given) for function in (field, other)]
    one, two = map(operations, programs)
    mine, theirs = (seconds(program, *given) for program in programs)
    counts = "  ".join(f"{name} {one[name]} : {two[name]}" for name in COUNTED)
    flops = [program.cost_analysis()["flops"] for program in programs]
    print(
        f"{what:55s} {mine / theirs:5.2f}  ({1e3 * mine:.2f} : {1e3 * theirs:.2f} ms)  {counts}"
        f"  operations {flops[0] / flops[1]:.3f}",
        flush=True,
    )


def shipped() -> None:
    rng = np.random.default_rng(0)
    for name, (net, shape) in MODELS.items():
        model = Model(net)
        inputs = rng.standard_normal((SAMPLES, *shape))
        outputs = jax.eval_shape(model, jnp.asarray(inputs)).shape[1]
        data = make_data(inputs, rng.standard_normal((SAMPLES, outputs)), reduction="mean")

        def gradient(net, back, data):
            del back
            return jax.grad(lambda net: data.value(net(data.inputs)))(net)

        for rule in (FeedbackAlignment(), DirectFeedbackAlignment()):
            back = model_feedback(Gaussian(), KEY, model, data.inputs, rule.form)
            title = f"{name}: {type(rule).__name__} : jax.grad"
            compare(title, rule.vector_field, gradient, model, back, data)


class Net(eqx.Module):
    """An MLP as a Module."""

    weights: tuple[jax.Array, ...]

    def __call__(self, x):
        for weight in self.weights[:-1]:
            x = jnp.tanh(weight @ x)
        return self.weights[-1] @ x


def mlps() -> None:
    rng, widths = np.random.default_rng(0), (64, 100, 100, 10)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    draw = lambda: tuple(jnp.asarray(rng.standard_normal(s) / s[1] ** 0.5) for s in shapes)  # noqa: E731
    weights, back = draw(), Feedback(draw()[1:], "layerwise")
    data = make_data(rng.standard_normal((512, 64)), rng.standard_normal((512, 10)))
    model, mlp, rule = Model(Net(weights)), MLP(weights, (), Tanh()), FeedbackAlignment()
    compare(
        "MLP 64-100-100-10: as a Module : by hand",
        lambda of, back, data: rule.vector_field(of[0], back, data),
        lambda of, back, data: rule.vector_field(of[1], back, data),
        (model, mlp), back, data,
    )  # fmt: skip


def main() -> int:
    shipped()
    mlps()
    return 0


if __name__ == "__main__":
    sys.exit(main())

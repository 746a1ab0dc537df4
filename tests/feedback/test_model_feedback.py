"""Feedback of models by path: scales, seeds, orthogonal draws, arrays of one's own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_nets import net_of

from faflow._generator import seeded
from faflow.feedback import (
    FEEDBACKS,
    draw_feedback,
    feedback_from_arrays,
    feedback_places,
    model_feedback,
)
from faflow.feedback.draw import Gaussian, Orthogonal
from faflow.networks import MLP, Model
from faflow.networks.models import CNN, Transformer

KEY = jax.random.key(3)
INPUTS = jax.ShapeDtypeStruct((2, 3, 3), float)
IMAGES = jax.ShapeDtypeStruct((2, 1, 4, 4), float)
TRANSFORMER = Model(Transformer(3, 2, key=KEY, width=4, depth=2, hidden=5))
IMAGED = Model(CNN((1, 4, 4), 2, key=KEY, channels=(2, 3)))


def by_path(feedback, model=TRANSFORMER, inputs=INPUTS, form="layerwise"):
    paths = [place.path for place in feedback_places(model, inputs, form)]
    return dict(zip(paths, map(np.asarray, feedback.matrices), strict=True))


def test_scales_and_seeds_of_what_globs_name():
    plain = by_path(model_feedback(Gaussian(), KEY, TRANSFORMER, INPUTS))
    other = by_path(model_feedback(Gaussian(), seeded(7), TRANSFORMER, INPUTS))
    scaled = by_path(
        model_feedback(
            Gaussian(),
            KEY,
            TRANSFORMER,
            INPUTS,
            scales={"blocks.*": 0.5, "blocks.1.mlp": 4.0, "readout": 2.0},
            seeds={"blocks.0.mlp.*": 7},
        )
    )
    assert len(plain) == 13
    for path, array in scaled.items():
        factor = 2.0 if path.startswith("readout") else 0.5
        factor = 4.0 if path.startswith("blocks.1.mlp") else factor
        own, not_own = (other, plain) if path.startswith("blocks.0.mlp") else (plain, other)
        np.testing.assert_array_equal(array, factor * own[path])
        assert not np.any(array == factor * not_own[path])


def test_calls_of_one_block_have_seeds_of_their_own():
    plain = by_path(model_feedback(Gaussian(), KEY, IMAGED, IMAGES, "direct"), IMAGED, IMAGES,
                    "direct")  # fmt: skip
    found = by_path(
        model_feedback(Gaussian(), KEY, IMAGED, IMAGES, "direct", seeds={"pool.1": 7},
                       scales={"pool": 3.0}),
        IMAGED, IMAGES, "direct",
    )  # fmt: skip
    assert {path: array.shape for path, array in found.items()} == {
        "pool.0": (2, 2, 2, 2),
        "pool.1": (2, 3, 1, 1),
    }
    np.testing.assert_array_equal(found["pool.0"], 3.0 * plain["pool.0"])
    assert not np.any(found["pool.1"] == 3.0 * plain["pool.1"])


def off_orthogonal(matrix):
    """How far rows, or columns if there are more rows, are from orthonormal."""
    matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    return np.abs(matrix @ matrix.T - np.eye(len(matrix))).max()


class Mixed(eqx.Module):
    """A matrix stored as (in, out) and a convolution's filters as (height, width, in, out)."""

    first: jax.Array
    turned: jax.Array
    filters: jax.Array

    def __call__(self, image):
        image = jnp.tanh(jnp.einsum("hwc,cd->hwd", image, self.first))
        image = jnp.tanh(jnp.einsum("hwc,cd->hwd", image, self.turned))
        out = jax.lax.conv_general_dilated(
            image[None], self.filters, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sum(out, axis=(0, 1, 2))


def test_orthogonal_feedback_of_leaves_as_matrices():
    found = by_path(model_feedback(Orthogonal(), KEY, IMAGED, IMAGES), IMAGED, IMAGES)
    assert off_orthogonal(found["convolutions.1.weight"].reshape(3, -1)) < 1e-14
    assert off_orthogonal(found["readout.weight"]) < 1e-14
    assert off_orthogonal(found["convolutions.1.weight"][:, :, 0, 0]) > 0.1

    draw = lambda *shape: jnp.asarray(np.random.default_rng(0).standard_normal(shape))  # noqa: E731
    model = Model(Mixed(draw(2, 3), draw(3, 4), draw(2, 2, 4, 3)))
    shape = jax.ShapeDtypeStruct((2, 3, 3, 2), float)
    found = by_path(model_feedback(Orthogonal(2.0), KEY, model, shape), model, shape)
    assert off_orthogonal(found["turned"] / 2) < 1e-14
    assert off_orthogonal(found["filters"].reshape(-1, 3) / 2) < 1e-14


@pytest.mark.parametrize("name", [name for name in FEEDBACKS if name not in ("mean-field",)])
def test_a_chain_of_layers_has_the_draw_of_an_mlp(name):
    widths = (3, 4, 6, 2)
    net = net_of(*widths, key=KEY)
    mlp = MLP(tuple(layer.weight for layer in net.layers))
    found = model_feedback(FEEDBACKS[name](), KEY, Model(net), jnp.zeros((2, 3)))
    expected = draw_feedback(FEEDBACKS[name](), KEY, widths, "layerwise", mlp)
    for one, two in zip(found.matrices, expected.matrices, strict=True):
        np.testing.assert_array_equal(one, two)


def test_feedback_from_arrays_by_path():
    for form in ("layerwise", "direct"):
        drawn = model_feedback(Gaussian(), KEY, TRANSFORMER, INPUTS, form)
        arrays = by_path(drawn, form=form)
        turned = dict(reversed(arrays.items()))  # their order says nothing
        found = feedback_from_arrays(turned, TRANSFORMER, INPUTS, form)
        assert found.form == form
        for one, two in zip(found.matrices, drawn.matrices, strict=True):
            np.testing.assert_array_equal(one, two)


class Headed(eqx.Module):
    """A weight (heads, size, in) whose product sums over `in`: no matrix (out, in)."""

    first: jax.Array
    heads: jax.Array

    def __call__(self, x):
        return jnp.einsum("hdi,i->hd", self.heads, jnp.tanh(self.first @ x)).ravel()


HEADED = Model(Headed(jnp.ones((3, 3)), jnp.ones((2, 2, 3))))
ARRAYS = by_path(model_feedback(Gaussian(), KEY, IMAGED, IMAGES), IMAGED, IMAGES)
REFUSED = {
    "'block', which names no feedback": lambda: model_feedback(
        Gaussian(), KEY, TRANSFORMER, INPUTS, scales={"block": 1.0}
    ),
    "Argument `seeds` has 'embed'": lambda: model_feedback(
        Gaussian(), KEY, TRANSFORMER, INPUTS, seeds={"embed": 1}
    ),
    "`heads` of shape (2, 2, 3) is none of fan-in 3": lambda: model_feedback(
        Orthogonal(), KEY, HEADED, jnp.zeros((2, 3))
    ),
    "`readout.weight` is missing": lambda: feedback_from_arrays(
        {"convolutions.1.weight": ARRAYS["convolutions.1.weight"]}, IMAGED, IMAGES
    ),
    "no feedback of `convolutions.0.weight`": lambda: feedback_from_arrays(
        ARRAYS | {"convolutions.0.weight": 1.0}, IMAGED, IMAGES
    ),
    "`readout.weight` has the shape (3, 2), but must have (2, 3)": lambda: feedback_from_arrays(
        ARRAYS | {"readout.weight": ARRAYS["readout.weight"].T}, IMAGED, IMAGES
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_fits_no_place_is_one_line(words):
    with pytest.raises(ValueError) as caught:
        REFUSED[words]()
    assert words in str(caught.value), caught.value
    assert "\n" not in str(caught.value)

"""The data a network learns from: inputs, targets, the loss between them and its weight."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh
from jaxtyping import Float

from .._types import Array, Outputs, Samples, Scalar
from . import blocks
from ._host import check_within, lookup, real_array
from .losses import LOSSES, AbstractLoss

REDUCTIONS = {
    "sum": lambda samples: 1.0,
    "mean": lambda samples: 1.0 / samples,
}


class Data(eqx.Module):
    """Loss = weight * sum over samples of l(f, y); weight is 1 ("sum") or 1/samples ("mean").

    `inputs` X is (samples, inputs), or of any shape of a sample for a model; `targets` Y is
    (samples, outputs). The weight only rescales
    time, but it does rescale it: rates under "mean" are 1/samples of those under "sum".
    `identity`: X is the identity matrix (matrix factorisation), so that products with it are idle;
    ValueError if it is not, where it is known. `block`: samples that sums and outputs take at once
    (None: all). `present` (samples, 1): 0 for rows that fill up a block or a device and are no
    samples, 1 for others (None: all are). `mesh`: the devices that samples are spread over.
    """

    inputs: Samples
    targets: Outputs
    loss: AbstractLoss = eqx.field(static=True)
    weight: Scalar
    identity: bool = eqx.field(static=True, default=False)
    block: int | None = eqx.field(static=True, default=None)
    present: Float[Array, "samples 1"] | None = None
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        known = not isinstance(self.inputs, Tracer)
        if self.identity and known and not is_identity(np.asarray(self.inputs)):
            raise ValueError("Argument `identity` is True, but `inputs` is another matrix.")

    def residual(self, outputs: Outputs) -> Outputs:
        """dl/df of every sample, unweighted; f - y for the squared loss."""
        residual = self.loss.error(outputs, self.targets)
        return residual if self.present is None else self.present * residual

    def error(self, outputs: Outputs) -> Outputs:
        """dLoss/df = weight * residual, (samples, outputs): what the backward sweep starts from."""
        return self.weight * self.residual(outputs)

    def value(self, outputs: Outputs) -> Scalar:
        """Loss(f) = weight * sum_mu l(f_mu, y_mu)."""
        values = self.loss.value(outputs, self.targets)
        if self.present is not None:
            values = self.present[:, 0] * values
        return self.weight * jnp.sum(values)

    def outputs(self, network: Callable[[Samples], Outputs]) -> Outputs:
        """f(X) (samples, outputs), with the activations of one block at once."""
        return self.each(lambda part: network(part.inputs))

    def summed(self, function: Callable[["Data"], Any]) -> Any:
        """A sum over samples, one block at a time on every device (`blocks.summed`)."""
        return blocks.summed(self, function)

    def each(self, function: Callable[["Data"], Any]) -> Any:
        """What is made of every sample alone, one block at a time (`blocks.each`)."""
        return blocks.each(self, function)

    def in_blocks(self, block: int | None) -> "Data":
        """The same data taken `block` samples at once; None or all of them: at once."""
        if block is None or block >= self.inputs.shape[0]:
            return dataclasses.replace(self, block=None)
        # A block of the identity's rows is no identity.
        return dataclasses.replace(self, block=block, identity=False)


def make_data(
    inputs: Any, targets: Any, loss: str | AbstractLoss = "squared", reduction: str = "sum"
) -> Data:
    """Data in JAX's current default precision, from anything numpy can read.

    `inputs` is (samples, inputs), or (samples, ...) for a model; `targets` is (samples, outputs),
    or (samples,) for one output. `loss` is a name in LOSSES or a loss, `reduction` a name in
    REDUCTIONS. ValueError in one line if the shapes disagree, an entry is not a finite real number,
    or the loss rejects the targets.
    """
    x, y = check_arrays(inputs, targets)
    rule = lookup("loss", loss, LOSSES)() if isinstance(loss, str) else loss
    rule.check(y)
    weight = lookup("reduction", reduction, REDUCTIONS)(len(x))
    arrays = _to_jax("inputs", x), _to_jax("targets", y)
    return Data(*arrays, rule, jnp.asarray(np.asarray(weight), float), is_identity(x))


def is_identity(matrix: np.ndarray) -> bool:
    """Whether every entry is that of the identity matrix."""
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return square and bool(np.array_equal(matrix, np.eye(len(matrix))))


def check_arrays(inputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y) as float64 with equally many rows; Y a matrix, whose one dimension may be a column."""
    x, y = real_samples("inputs", inputs), real_array("targets", targets)
    y = real_matrix("targets", y[:, None] if y.ndim == 1 else y)
    if len(x) != len(y):
        raise ValueError(
            f"Argument `targets` must have one row per sample, but has {len(y)} rows "
            f"for {len(x)} rows of `inputs`; samples are rows, transpose if needed."
        )
    return x, y


def real_samples(argument: str, values: Any) -> np.ndarray:
    """`values` as a non-empty float64 array (samples, ...) of finite numbers, else a ValueError."""
    array = real_array(argument, values)
    return array if array.ndim > 2 and array.size else real_matrix(argument, array)


def real_matrix(argument: str, values: Any) -> np.ndarray:
    """`values` as a non-empty float64 matrix of finite numbers, else a ValueError."""
    array = real_array(argument, values)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"Argument `{argument}` must be a non-empty matrix with samples as rows, "
            f"but has shape {array.shape}."
        )
    return array


def _to_jax(argument: str, array: np.ndarray) -> jax.Array:
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    check_within(argument, array, float(np.finfo(dtype).max))
    return jax.device_put(np.array(array, dtype))  # a copy: the array may be the caller's

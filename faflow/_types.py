"""Array aliases with the package's one shape convention (see docs/architecture.md).

Samples are rows: inputs X are (samples, inputs). Layer l = 1..L has weights W_l of shape
(n_l, n_{l-1}), n_0 = inputs, n_L = outputs; pre-activations h_l and activations a_l are
(samples, n_l). Feedback F_l has the shape of the weight it replaces and is used as F_l^T;
direct feedback D_l is (n_L, n_l).
"""

from jaxtyping import Array, Bool, Float, Int, PyTree

Scalar = Float[Array, ""]
Integer = Int[Array, ""]
Flag = Bool[Array, ""]
Times = Float[Array, " saves"]

# Layers differ in size, so these dimensions are named but not tied to each other.
Matrix = Float[Array, "_out _in"]
Inputs = Float[Array, "samples inputs"]
Samples = Float[Array, "samples *sample"] | Int[Array, "samples *sample"]  # any shape; tokens
Outputs = Float[Array, "samples *places outputs"]  # places: of a sequence, none of most networks
PerSample = Float[Array, " samples"]
Kernel = Float[Array, "samples *rest"]  # (samples, outputs, samples, outputs)

Record = PyTree[Array]

__all__ = [
    "Array",
    "Flag",
    "Inputs",
    "Integer",
    "Kernel",
    "Matrix",
    "Outputs",
    "PerSample",
    "PyTree",
    "Record",
    "Samples",
    "Scalar",
    "Times",
]

"""Any equinox Module as a network: its arrays move, what else it holds stays."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._types import Array, PyTree, Samples
from .marks import numbers_made
from .mlp import AbstractLayeredNetwork, AbstractNetwork
from .substitution import ModelProgram, path_name, paths_of, program_of, pulled_back


class Frozen:
    """What of a module does not move: frozen arrays, whole numbers, functions.

    Static, and compared by content, so that two models of the same kind share their programs.
    """

    def __init__(self, tree: PyTree):
        leaves, self.shape = jax.tree.flatten(tree)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            raise ValueError(
                "What a model keeps frozen must be known when it is made, but is traced; make the "
                "model outside jit and vmap."
            )
        # Copies of the arrays: the module is the caller's.
        self.leaves = [np.array(leaf) if eqx.is_array(leaf) else leaf for leaf in leaves]
        arrays = (
            (leaf.shape, leaf.dtype.str, leaf.tobytes()) if isinstance(leaf, np.ndarray) else leaf
            for leaf in self.leaves
        )
        self.key = (self.shape, *arrays)

    @property
    def tree(self) -> PyTree:
        back = [jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in self.leaves]
        return jax.tree.unflatten(self.shape, back)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Model(AbstractNetwork):
    """f(X) of an equinox Module, called sample by sample, or on all at once if it has
    `batched = True`.

    Its inexact arrays move, but those that `frozen` names: globs over the paths of leaves, such as
    "embed" (all below it) or "blocks.*.norm". `module` is the Module again, at the present weights.
    ValueError in one line for what is no Module, for layers that keep a state or draw random
    numbers, for leaves of another precision than the run's, and for a glob that names nothing.
    """

    moving: PyTree
    rest: Frozen = eqx.field(static=True)

    def __init__(self, module: Any, frozen: Sequence[str] = ()):
        _check_module(module)
        held = _frozen(module, frozen)
        moves = jax.tree_util.tree_map_with_path(
            lambda path, leaf: eqx.is_inexact_array(leaf) and path_name(path) not in held, module
        )
        self.moving, rest = eqx.partition(module, moves)
        _check_leaves(type(module).__name__, self.moving)
        self.rest = Frozen(rest)

    @property
    def module(self) -> Any:
        return eqx.combine(self.moving, self.rest.tree)

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the moving leaves, as `blocks.0.conv1.weight`, in their order."""
        return tuple(paths_of(self.moving))

    def __call__(self, inputs: Samples) -> Any:  # who knows what a user's module returns
        module = self.module
        return module(inputs) if getattr(module, "batched", False) else jax.vmap(module)(inputs)

    def program(self, inputs: Any) -> ModelProgram:
        """Its program at inputs of this shape, and how the outputs hear every leaf."""
        return program_of(lambda moving, x: _at(self, moving)(x), self.moving, inputs)

    def pulled_back(self, program: ModelProgram, backward: Sequence[Array], inputs: Samples) -> Any:
        """f(X), and the map from an error to what it does to the weights when it goes back through
        `backward` (one array a leaf): a Model of their changes."""
        outputs, pull = pulled_back(program, self.moving, backward, inputs)
        return outputs, lambda error: _at(self, pull(error))


def units_of(network: AbstractNetwork, inputs: Array) -> int:
    """Numbers that a forward pass makes of one sample: units of layers, values of a model."""
    if isinstance(network, AbstractLayeredNetwork):
        return sum(weight.shape[0] for weight in network.weights)
    one = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    return numbers_made(jax.make_jaxpr(lambda net, x: net(x))(network, one).jaxpr)


def is_kinked(network: AbstractNetwork, inputs: Array) -> bool:
    """Whether the outputs have kinks as functions of the weights."""
    if isinstance(network, AbstractLayeredNetwork):
        return network.activation.kinked and len(network.weights) > 1
    return isinstance(network, Model) and network.program(_two(inputs)).kinked


def _two(inputs: Array) -> jax.ShapeDtypeStruct:
    """The shape of two samples."""
    return jax.ShapeDtypeStruct((2, *inputs.shape[1:]), inputs.dtype)


def as_network(module: Any) -> AbstractNetwork:
    """A network as it is, an equinox Module as a `Model`."""
    return module if isinstance(module, AbstractNetwork) else Model(module)


def _at(model: Model, moving: PyTree) -> Model:
    return eqx.tree_at(lambda net: net.moving, model, moving)


def _check_module(module: Any) -> None:
    kind = module.__name__ if isinstance(module, type) else type(module).__name__
    if isinstance(module, type) or not isinstance(module, eqx.Module):
        what = f"the class {kind}" if isinstance(module, type) else f"a {kind}"
        remedy = "give an instance" if isinstance(module, type) else "derive it from eqx.Module"
        raise ValueError(f"A model must be an equinox Module, but is {what}; {remedy}.")
    special = (eqx.nn.StateIndex, eqx.nn.Dropout)
    nodes = jax.tree_util.tree_leaves_with_path(
        module, is_leaf=lambda node: isinstance(node, special)
    )
    for path, node in nodes:
        at = f"Layer `{path_name(path)}` of {kind}"
        if isinstance(node, eqx.nn.StateIndex):
            raise ValueError(
                f"{at} keeps a state of its own beside the weights (as batch norm does), which no "
                "flow of the weights has; use a norm without one (eqx.nn.LayerNorm, GroupNorm)."
            )
        if isinstance(node, eqx.nn.Dropout) and not node.inference and _draws(node.p):
            raise ValueError(
                f"{at} draws random numbers, but a flow is a function of the weights alone; "
                "switch it off with eqx.nn.inference_mode(module)."
            )


def _draws(share: Any) -> bool:
    return isinstance(share, Tracer) or float(share) > 0


def _check_leaves(kind: str, moving: PyTree) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(moving)
    if not leaves:
        raise ValueError(f"Model {kind} has no array that moves; freeze fewer of its leaves.")
    wanted = jnp.result_type(float)
    for path, leaf in leaves:
        if leaf.dtype != wanted:
            raise ValueError(
                f"Leaf `{path_name(path)}` of {kind} is {leaf.dtype} in a {wanted} run; make the "
                f"model after JAX's precision is set, or cast its leaves to {wanted}."
            )


def _frozen(module: PyTree, globs: Sequence[str]) -> set[str]:
    """The paths of all leaves that the globs name."""
    paths = paths_of(module)
    found = {glob: {path for path in paths if names_leaf(glob, path)} for glob in globs}
    for glob, named in found.items():
        if not named:
            raise ValueError(
                f"Argument `frozen` has '{glob}', which names no leaf of "
                f"{type(module).__name__}; its leaves are {', '.join(paths)}."
            )
    return set().union(*found.values())


def names_leaf(glob: str, path: str) -> bool:
    """Whether a glob names a leaf or something that it lies in, part by part."""
    parts, names = glob.split("."), path.split(".")
    return len(parts) <= len(names) and all(map(fnmatchcase, names, parts))

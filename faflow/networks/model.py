"""Any equinox Module as a network: its arrays move, what else it holds stays."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._types import Array, PyTree, Samples
from .blocks import CutProgram, block_paths, cut_program, with_blocks
from .convolutions import by_products
from .kinks import kinks_met
from .mlp import AbstractLayeredNetwork, AbstractNetwork
from .substitution import ModelProgram, path_name, paths_of, program_heard, pulled_back


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
    `blocks`: what direct feedback sends the error to, globs over the paths of what the module
    calls; unless given, the `feedback_blocks` of its class, if it has them. Each call of a block is
    a place of its own. `true_feedback`: globs over the leaves that a backward pass meets as they
    are, whatever the rule; they have no feedback. ValueError in one line for what is no Module, for
    layers that keep a state or draw random numbers, for leaves of another precision than the run's,
    and for a glob that names nothing.
    """

    moving: PyTree
    rest: Frozen = eqx.field(static=True)
    blocks: tuple[str, ...] = eqx.field(static=True)
    true: frozenset[str] = eqx.field(static=True)  # paths of leaves without feedback

    def __init__(
        self,
        module: Any,
        frozen: Sequence[str] = (),
        blocks: Sequence[str] | None = None,
        true_feedback: Sequence[str] = (),
    ):
        _check_module(module)
        held = _named(module, frozen, "frozen")
        moves = jax.tree_util.tree_map_with_path(
            lambda path, leaf: eqx.is_inexact_array(leaf) and path_name(path) not in held, module
        )
        self.moving, rest = eqx.partition(module, moves)
        _check_leaves(type(module).__name__, self.moving)
        self.rest = Frozen(rest)
        named = getattr(module, "feedback_blocks", ()) if blocks is None else blocks
        self.blocks = block_paths(module, named)
        self.true = frozenset(_named(module, true_feedback, "true_feedback"))

    @property
    def module(self) -> Any:
        return eqx.combine(self.moving, self.rest.tree)

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the moving leaves, as `blocks.0.conv1.weight`, in their order."""
        return tuple(paths_of(self.moving))

    def __call__(self, inputs: Samples) -> Any:
        return _outputs(self, inputs)

    def program(self, inputs: Any) -> ModelProgram:
        """Its program at inputs of this shape, and how the outputs hear every leaf."""
        closed = jax.make_jaxpr(_outputs)(self, inputs)
        program = program_heard(closed, self.paths)
        uses = (use._replace(fan_in=None) if use.path in self.true else use for use in program.uses)
        return program._replace(uses=tuple(uses))

    def pulled_back(self, program: ModelProgram, backward: Sequence[Array], inputs: Samples) -> Any:
        """f(X), and the map from an error to what it does to the weights when it goes back through
        `backward` (one array a leaf): a Model of their changes."""
        outputs, pull = pulled_back(program, self.moving, backward, inputs)
        return outputs, lambda error: _at(self, pull(error))

    def cut(self, inputs: Any) -> CutProgram:
        """Its program at inputs of this shape, cut where blocks end (`blocks.cut_program`)."""

        def outputs(moving: PyTree, x: Any) -> Any:
            module = with_blocks(_at(self, moving).module, self.blocks)
            return by_products(of_samples(module))(x)

        return cut_program(outputs, self.moving, inputs)

    def pulled_back_from_blocks(self, program: CutProgram, inputs: Samples) -> Any:
        """f(X), and the map from an error and what the blocks' outputs hear (one array of their
        shape for each) to what these do to the weights: a Model of their changes."""
        results, pull = jax.vjp(lambda moving: program.results(moving, inputs), self.moving)
        return results[0], lambda error, heard: _at(self, pull((error, list(heard)))[0])


def _outputs(model: Model, inputs: Samples) -> Any:  # who knows what a user's module returns
    """f(X): a function of this file, so that what JAX has traced of it is found again."""
    return by_products(_as_written)(model, inputs)


def _as_written(model: Model, inputs: Samples) -> Any:
    return of_samples(model.module)(inputs)


def of_samples(module: Any) -> Callable[[Samples], Any]:
    """A module as it is written, as a function of all samples."""
    if getattr(module, "batched", False):
        return module
    return jax.vmap(lambda sample: module(sample))  # of a Module itself JAX would print the whole


def is_kinked(network: AbstractNetwork, inputs: Any) -> bool:
    """Whether the outputs have kinks as functions of the weights."""
    if isinstance(network, AbstractLayeredNetwork):
        return network.activation.kinked and len(network.weights) > 1
    if not isinstance(network, Model):
        return False
    found: list[bool] = []

    def look(moving: PyTree, sample: Array) -> None:
        found.append(kinks_met(_of_one(network), moving, sample)[0])

    jax.eval_shape(look, network.moving, jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype))
    return found[0]


def kink_signs(network: AbstractNetwork, inputs: Array) -> tuple[Array, ...]:
    """For every kind of kink, on which side of it each sample's values are: h_l > 0 of hidden
    layers (samples, n_l), of a model what meets in its program (samples, values), in its order
    (`kinks.kinks_met`): maxima of pooling have no sides and are left out."""
    if isinstance(network, Model):
        return jax.vmap(lambda x: kinks_met(_of_one(network), network.moving, x)[1])(inputs)
    return tuple(h > 0 for h in network.trace(inputs).pre[:-1])


def _of_one(model: Model) -> Callable[[PyTree, Array], Array]:
    """f(W, x) of one sample."""

    def outputs(moving: PyTree, x: Array) -> Array:
        module = _at(model, moving).module
        batched = getattr(module, "batched", False)
        return by_products((lambda one: module(one[None])[0]) if batched else module)(x)

    return outputs


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
        if not leaf.size:
            raise ValueError(
                f"Leaf `{path_name(path)}` of {kind} has the shape {leaf.shape} and no entry: what "
                "it reads has shrunk to nothing; use fewer or smaller strides and windows."
            )
        if leaf.dtype != wanted:
            raise ValueError(
                f"Leaf `{path_name(path)}` of {kind} is {leaf.dtype} in a {wanted} run; make the "
                f"model after JAX's precision is set, or cast its leaves to {wanted}."
            )


def _named(module: PyTree, globs: Sequence[str], argument: str) -> set[str]:
    """The paths of all leaves that the globs name."""
    paths = paths_of(module)
    found = {glob: {path for path in paths if is_named(glob, path)} for glob in globs}
    for glob, named in found.items():
        if not named:
            raise ValueError(
                f"Argument `{argument}` has '{glob}', which names no leaf of "
                f"{type(module).__name__}; its leaves are {', '.join(paths)}."
            )
    return set().union(*found.values())


def is_named(glob: str, path: str) -> bool:
    """Whether a glob names a leaf or something that it lies in, part by part."""
    parts, names = glob.split("."), path.split(".")
    return len(parts) <= len(names) and all(map(fnmatchcase, names, parts))

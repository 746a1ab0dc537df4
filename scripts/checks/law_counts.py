"""How many laws has each rule on each block?

`python scripts/checks/law_counts.py [PAGE]` (`make predictions` does it for docs/law-counts.md):
counts all of them, writes the page, or prints it. `count(block, rule)` is one of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from faflow.discovery import BlockFields, count_block, count_named
from faflow.feedback import FEEDBACKS, model_feedback
from faflow.networks import Model
from faflow.networks.models import (
    AttentionMean,
    ConvolutionBlock,
    Mixture,
    MLPModule,
    ResidualBlocks,
    SwiGLU,
    TwoLayers,
)
from faflow.rules import RULES, AbstractMovingFeedbackRule, model_laws
from faflow.tasks import make_data

jax.config.update("jax_enable_x64", True)

KEY = jax.random.key(0)
KINDS = {
    "gradient": "gradient",
    "feedback-alignment": "FA",
    "direct-feedback-alignment": "DFA",
    "uniform-sign-symmetry": "sign symmetry",
    "kolen-pollack": "Kolen-Pollack",
}


class Block(NamedTuple):
    """What is made of a key, the shape of a sample, the leaves that are counted, what direct
    feedback sends the error to (() if nothing), and the losses."""

    make: Callable[[Any], Any]
    sample: tuple[int, ...]
    leaves: tuple[str, ...] = ("*",)
    direct: tuple[str, ...] = ()
    losses: Any = "all"


TOKENS = (3, 2)
HEARD = tuple(f"attention.{part}" for part in ("query", "key", "value"))


def _mlp(activation: str) -> Block:
    return Block(
        lambda key: MLPModule(2, 2, key=key, hidden=(3,), activation=activation),
        (2,), direct=("activation",),
    )  # fmt: skip


def _attention(**options: Any) -> Block:
    return Block(lambda key: AttentionMean(2, 2, key=key, **options), TOKENS, direct=HEARD)


def _mixture(gate: Any) -> Block:
    return Block(lambda key: Mixture(2, 1, 2, 2, key=key, gate=gate), (2,), direct=("experts.*",))


def _residual(*leaves: str) -> Block:
    return Block(
        lambda key: ResidualBlocks(2, 2, key=key, activation="relu"), (2,), leaves, ("blocks.*",)
    )


BLOCKS = {
    "linear 2-3-2": _mlp("identity"),
    "ReLU 2-3-2": _mlp("relu"),
    "GELU 2-3-2": _mlp("gelu"),
    "ReLU convolutions 1-2-1": Block(
        lambda key: ConvolutionBlock((1, 3, 3), 1, key=key, hidden=2), (1, 3, 3),
        direct=("pair.pool",),
    ),
    "the same, average pooling": Block(
        lambda key: ConvolutionBlock((1, 5, 5), 1, key=key, hidden=2, pooling="average"),
        (1, 5, 5), direct=("pair.pool",),
    ),
    "attention, d1 = 2": _attention(),
    "K replaced": _attention(replaced="key"),
    "K and Q replaced": _attention(replaced="both"),
    "rotary places": _attention(rotary=True),
    "two heads, d1 = 1 each": _attention(each=1, heads=2),
    "SwiGLU 2-3-2": Block(lambda key: SwiGLU(2, 3, 2, key=key), (2,), direct=("up", "gate")),
    "two experts, softmax": _mixture("softmax"),
    "two experts, sigmoid": _mixture("sigmoid"),
    "residual block": _residual("blocks.0"),
    "across a skip": _residual("blocks.0.block.second", "blocks.1.block.first"),
    "read-out, cross-entropy": Block(
        lambda key: TwoLayers(2, 3, 3, key=key), (2,), ("second",), losses="cross-entropy"
    ),
}  # fmt: skip


class Count(NamedTuple):
    """D, the laws (None: undecided; of moving feedback without W - F), those that have a name, and
    the gap of the rank."""

    size: int
    laws: int | None
    named: int
    gap: float


def count(block: str, kind: str) -> Count | None:
    """None where the rule does not serve the block."""
    made, rule = BLOCKS[block], RULES[kind]()
    if rule.form == "direct" and not made.direct:
        return None
    model = Model(made.make(KEY), blocks=made.direct)
    inputs = np.random.default_rng(0).standard_normal((4, *made.sample))
    outputs = jax.eval_shape(model, jax.ShapeDtypeStruct(inputs.shape, float)).shape[1]
    loss = "cross-entropy" if made.losses == "cross-entropy" else "squared"
    data = make_data(inputs, np.eye(outputs)[np.zeros(4, int)], loss)
    feedback = model_feedback(FEEDBACKS["gaussian"](), KEY, model, jnp.asarray(inputs), rule.form)
    found = count_block(rule, model, feedback, made.sample, made.leaves, losses=made.losses)
    fields = BlockFields(rule, model, feedback, made.sample, made.leaves, made.losses)
    moving = sum(leaf.size for leaf in fields.leaves if leaf.name != leaf.path)
    own = 0 if not isinstance(rule, AbstractMovingFeedbackRule) else moving
    laws = None if found.independent is None else found.independent - own
    named = count_named(fields, model_laws(rule, model, feedback, data).values())
    return Count(found.size - own, laws, named, found.gap)


def shown(found: Count | None) -> str:
    if found is None:
        return "–"
    laws = "undecided" if found.laws is None else str(found.laws)
    return laws if found.named == found.laws else f"{laws} ({found.named})"


def row(block: str) -> str:
    counts = [count(block, kind) for kind in KINDS]
    size = next(one.size for one in counts if one is not None)
    gap = min(one.gap for one in counts if one is not None)
    return f"| {block} | {size} | {' | '.join(map(shown, counts))} | {gap:.0e} |"


ABOUT = """# Laws of blocks, rule by rule

Written by `scripts/checks/law_counts.py` (`make predictions`). Independent laws of a block's leaves
over all data and losses (for the read-out: under cross-entropy), D weights; in parentheses, where
they are fewer, those that have a name ([laws.md](laws.md)). Of Kolen–Pollack without W − F, which
does not move. Sign symmetry: while no weight changes its sign. Fixed feedback is drawn at random;
direct feedback sends the error to the hidden units, to queries, keys and values, to the two
products of SwiGLU, to every expert, to the output of every residual block. Small blocks: that a
count holds for other sizes is no theorem.
"""


def page() -> str:
    head = ["| block | D | " + " | ".join(KINDS.values()) + " | least gap |"]
    head += ["|---|--:|" + "--:|" * (len(KINDS) + 1)]
    rows = []
    for block in BLOCKS:
        rows.append(row(block))
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join([ABOUT, *head, *rows, ""])


if __name__ == "__main__":
    text = page()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, "utf-8")
    else:
        print(text)

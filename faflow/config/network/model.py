"""[network] of any other kind: a model and the options of its constructor."""

from typing import ClassVar

from ..section import AbstractKindSection

# Constructor arguments of models that the data tell, unless the config does.
OF_DATA = frozenset({"image", "inputs", "length", "tokens", "outputs"})


class ModelSection(AbstractKindSection):
    """[network] of any other kind: a model, one of faflow's or an equinox Module of the user's
    (`file.py:Class`). Further keys are the options of its constructor.

    `frozen`: globs over the paths of leaves that do not move; `blocks`: of what direct feedback
    sends the error to, unless the class says it (`feedback_blocks`); `true_feedback`: of leaves
    that the backward pass meets as they are, without feedback of their own. The constructor's `key`
    comes from [init]'s seed; `image`, `inputs`, `length`, `tokens` and `outputs`, if it has such,
    are the task's unless they are given.
    """

    registry: ClassVar[str] = "networks"
    widths: ClassVar[tuple[int, ...]] = ()  # a model has none
    frozen: tuple[str, ...] = ()
    blocks: tuple[str, ...] | None = None
    true_feedback: tuple[str, ...] = ()

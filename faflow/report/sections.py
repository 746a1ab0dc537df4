"""The sections of a page, in the order in which they stand: a line each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .content import Content
from .material import Material
from .questions.cost import cost_block
from .questions.derivatives import derivatives_block
from .questions.full import full_block
from .questions.law import law_block
from .questions.measured import folded_block, led_block
from .questions.names import ALIGN, CONVERGE, COST, KERNELS, KINKS, LAW, MORE, WEIGHTS
from .questions.phase import KEY, phase_block


@dataclass(frozen=True)
class Section:
    """`build` makes the content, an empty Content where there is nothing to say. `folded`: shown
    when asked for."""

    key: str
    title: str
    build: Callable[[Material], Content]
    folded: bool = False


SECTIONS: Sequence[Section] = (
    Section(LAW, "Is the law kept?", law_block),
    Section(CONVERGE, "Does it converge, how fast, where to?",
            led_block(CONVERGE, "Loss, rates, known limits, members")),
    Section(ALIGN, "Does it align?", led_block(ALIGN, "Inner products, cosines, signals")),
    Section(KINKS, "What did kinks do?", led_block(KINKS, "Other layers, counts")),
    Section("derivatives", "What moves its figures?", derivatives_block),
    Section(COST, "What did it cost?", cost_block),
    Section(WEIGHTS, "Weights: singular values and norms", folded_block(WEIGHTS), folded=True),
    Section(KEY, "Phase portrait", phase_block, folded=True),
    Section(KERNELS, "Kernels", led_block(KERNELS, "More of kernels"), folded=True),
    Section(MORE, "Other records", folded_block(MORE), folded=True),
    Section("full", "In full", full_block, folded=True),
)  # fmt: skip

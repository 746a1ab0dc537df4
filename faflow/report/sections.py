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


def in_order(material: Material) -> list[Section]:
    """Of several results what they came to leads; laws that none of them claims come after all
    that is not folded."""
    last = bool(material.laws) and not material.claimed

    def place(section: Section) -> int:
        if section.folded:
            return 3
        return 0 if section.key == CONVERGE else 2 if section.key == LAW and last else 1

    return sorted(SECTIONS, key=place) if material.several else list(SECTIONS)

"""[network], whichever it is: its `kind` tells."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from ..section import AbstractSection
from .layers import LAYERED, NetworkSection
from .model import ModelSection
from .wide import WIDE, WideSection

# A complaint about a section has its tag in the place of a key (`load.py`).
SECTIONS: dict[str, type[AbstractSection]] = {
    "<layers>": NetworkSection, "<wide>": WideSection, "<model>": ModelSection,
}  # fmt: skip


def section_tag(kind: Any) -> str:
    """The tag of the section that describes networks of this kind."""
    return "<wide>" if kind == WIDE else "<layers>" if kind in LAYERED else "<model>"


def _form(given: Any) -> str:
    if isinstance(given, AbstractSection):
        return next(tag for tag, section in SECTIONS.items() if isinstance(given, section))
    return section_tag(given.get("kind", LAYERED[0]) if isinstance(given, dict) else LAYERED[0])


AnyNetwork = Annotated[
    Annotated[NetworkSection, Tag("<layers>")]
    | Annotated[WideSection, Tag("<wide>")]
    | Annotated[ModelSection, Tag("<model>")],
    Discriminator(_form),
]

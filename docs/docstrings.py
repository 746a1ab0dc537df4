"""faflow's docstrings for Sphinx. They are plain text with equations, not reStructuredText: what
would be markup there is escaped, `code` is code, and indented lines stay as they are."""

import re
from collections.abc import Iterator

_CODE = re.compile(r"(`+[^`]+`+)")
_MARKUP = re.compile(r"([\\*|_`<>])")
_BULLET = re.compile(r"[-*] ")
_ARRAY = re.compile(r"(jax\.)?jaxlib\._jax\.Array")


def process(app, what: str, name: str, obj: object, options, lines: list[str]) -> None:
    """A handler of `autodoc-process-docstring`: `lines` is changed in place."""
    said = list(rewritten(lines))
    for key in ("source", "equation"):
        text = vars(obj).get(key) if isinstance(obj, type) else None
        if isinstance(text, str):
            said = [f"{key.capitalize()}: ``{text}``", "", *said]
    lines[:] = said


def sign(app, what: str, name: str, obj: object, options, arguments, returned):
    """A handler of `autodoc-process-signature`: arrays by their public name."""
    return tuple(
        None if text is None else _ARRAY.sub("Array", text) for text in (arguments, returned)
    )


def skip(app, what: str, name: str, obj: object, skipped: bool, options) -> bool | None:
    """A handler of `autodoc-skip-member`: fields of named tuples are told in the signature."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def rewritten(lines: list[str]) -> Iterator[str]:
    """reStructuredText of a docstring, block by block."""
    for block in blocks(lines):
        if block[0].startswith(" "):
            yield from ("::", "", *block, "")
        else:
            text = " ".join(line.strip() for line in block)
            item = _BULLET.match(text)
            yield (f"- {escaped(text[2:])}" if item else escaped(text))
            yield ""


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs, items of lists with the lines that hang below them, and indented blocks."""
    block: list[str] = []
    for line in lines:
        hanging = bool(block) and _BULLET.match(block[0]) is not None
        other = bool(block) and line.startswith(" ") != block[0].startswith(" ") and not hanging
        if block and (
            not line.strip() or _BULLET.match(line) or other or (hanging and line[:1] != " ")
        ):
            yield block
            block = []
        if line.strip():
            block.append(line)
    if block:
        yield block


def escaped(text: str) -> str:
    """Nothing of a text is markup but `code`."""
    return "".join(
        f"``{part.strip('`')}``" if number % 2 else _MARKUP.sub(r"\\\1", part)
        for number, part in enumerate(_CODE.split(text))
    )

"""JAX as a config wants it, and in words what is wrong with the compiled programs on disk."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from ..flow import keeps_its_own, kept_programs, program_folder

_TROUBLE = r"Error (reading|writing) persistent compilation cache"  # how JAX's words about it begin


@contextmanager
def in_precision(precision: str) -> Iterator[None]:
    """JAX in float64 or float32 for as long as one config runs, compiled programs kept on disk."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", precision == "float64")
    try:
        with kept_programs():
            yield
    finally:
        jax.config.update("jax_enable_x64", before)


@contextmanager
def telling_programs(tell: Callable[[str], None]) -> Iterator[None]:
    """Compiled programs kept on disk; one sentence for `tell` where that can't be done. Nothing
    else depends on it: what can't be read is compiled, what can't be written is not kept."""
    said: list[str] = []

    def say(why: str) -> None:
        if not said:
            said.append(why)
            tell(f"compiled programs are not kept, or not found again: {why}")

    try:
        if not keeps_its_own():
            program_folder()
    except (OSError, RuntimeError) as error:
        say(str(error))
    with kept_programs(), warnings.catch_warnings():
        warnings.filterwarnings("always", message=_TROUBLE)
        show = warnings.showwarning

        def heard(message: Any, *about: Any, **more: Any) -> None:
            text = " ".join(str(message).split())
            if text.startswith(("Error reading persistent", "Error writing persistent")):
                folder = getattr(jax.config, "jax_compilation_cache_dir", "its folder")
                say(f"{text.rpartition(': ')[2]}; remove {folder}, or free space there")
            else:
                show(message, *about, **more)

        warnings.showwarning = heard
        yield

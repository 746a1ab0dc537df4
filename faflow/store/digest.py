"""The content hashes of a run: its config with what it reads, the code that computes it."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..config.dump import config_text
from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..measures.measure import Experiment
from .fingerprint import fingerprint

_PACKAGE = Path(__file__).resolve().parents[1]
# What only draws, judges and prints.
_NO_NUMBERS = (
    "compare", "plots", "report", "reproduce", "cli", "learning.py", "opened.py", "__main__.py",
    "cache.py", "durations.py",
)  # fmt: skip


class Digest(NamedTuple):
    """sha256 of what is asked (`config`: resolved, without [expect], with the content of every file
    it reads, not their paths, and what code of the user's own computes) and of faflow's sources
    (`source`)."""

    config: str
    source: str


def digest(resolved: Resolved, built: Callable[[Experiment], None] = lambda _: None) -> Digest:
    """The content hashes of a run; results with the same are the same.

    `flow.block` and `flow.devices` are left out: they change the order of sums, and with it what
    rounding does, as another machine would, and that is no part of what is asked either. With code
    of the user's own the experiment is built, to see what it computes, and given to `built`.
    """
    text = config_text(resolved, paths=False, expect=False, split=False)
    found = hashlib.sha256(text.encode())
    for key, file in sorted(resolved.files().items()):
        try:
            found.update(key.encode() + hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            what = f"is {file}, which can't be read ({error.strerror}); check the path"
            raise ConfigError(key, what) from None
    if resolved.has_own_code:
        found.update(fingerprint(resolved, built))
    return Digest(found.hexdigest(), sources())


@cache
def sources() -> str:
    """sha256 of the sources of faflow that numbers depend on."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        place = file.relative_to(_PACKAGE)
        if place.parts[0] not in _NO_NUMBERS:
            digest.update(str(place).encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()

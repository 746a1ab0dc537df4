"""The content hash of a run: its config, the code that computes it, the files it reads."""

import hashlib
from functools import cache
from pathlib import Path

from .dump import config_text
from .errors import ConfigError
from .resolve import Resolved

_PACKAGE = Path(__file__).resolve().parents[1]
_NO_NUMBERS = ("plots", "report", "cli.py")  # what only draws and prints


def content_hash(resolved: Resolved) -> str:
    """sha256 over the resolved config, faflow's sources and every file read (not their paths)."""
    digest = hashlib.sha256(config_text(resolved, paths=False).encode())
    digest.update(_source_hash().encode())
    for key, file in sorted((resolved.files() | resolved.code()).items()):
        try:
            digest.update(key.encode() + hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            what = f"is {file}, which can't be read ({error.strerror}); check the path"
            raise ConfigError(key, what) from None
    return digest.hexdigest()


@cache
def _source_hash() -> str:
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        place = file.relative_to(_PACKAGE)
        if place.parts[0] not in _NO_NUMBERS:
            digest.update(str(place).encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()

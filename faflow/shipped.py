"""The configs that come with faflow, one claim each, known by name from any folder."""

import os
import re
import tomllib
from pathlib import Path

_HERE = Path(__file__).resolve().parent
SUFFIX = ".toml"


def folder() -> Path:
    """Where they lie: inside an installed package, beside the package in a checkout."""
    inside = _HERE / "configs"
    return inside if inside.is_dir() else _HERE.parent / "configs"


def shipped_configs() -> dict[str, Path]:
    """Name -> file; `theorem1-relu` is theorem1_relu.toml."""
    return {name_of(path.stem): path for path in sorted(folder().glob(f"*{SUFFIX}"))}


def name_of(stem: str) -> str:
    return stem.replace("_", "-")


def is_name(given: str) -> bool:
    """Whether it can't be meant as a path."""
    return os.path.basename(given) == given and not given.endswith(SUFFIX)


def first_sentence(path: Path) -> str:
    """Of the comment that a config begins with; "" if it begins with none."""
    lines = path.read_text("utf-8").splitlines()
    ends = (n for n, line in enumerate(lines) if not line.startswith("#"))
    comment = " ".join(line.lstrip("# ").rstrip() for line in lines[: next(ends, len(lines))])
    # A point ends a sentence where a capital or a command follows, or nothing.
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", comment, maxsplit=1)[0]


def listed_configs() -> list[dict[str, str]]:
    """What `faflow list configs` shows: names, what they claim, the command that runs them."""
    return [
        {
            "name": name,
            "about": first_sentence(path),
            "run with": f"faflow {'sweep' if _sweeps(path) else 'run'} {name}",
        }
        for name, path in shipped_configs().items()
    ]


def _sweeps(path: Path) -> bool:
    return "sweep" in tomllib.loads(path.read_text("utf-8"))

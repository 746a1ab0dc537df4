"""Code from outside faflow that a `kind` names: where it lies, and how it is brought in.

`module:Name`, `file.py:Name`, or either with the folder it lies in in front (`lab/file.py:Name`),
relative to the config. What the code itself imports is looked for in the environment, then beside
it. The working folder is never looked in.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..cache import own_no_more
from .errors import ConfigError, nearest

# Modules from outside the environment, by the folder that was imported from: two folders may each
# have a module of the same name.
_BROUGHT: dict[Path, dict[str, ModuleType]] = {}


def read_anew() -> None:
    """What was brought in before is read again when it is next asked for: it, or a file that it
    reads, may have changed."""
    for brought in _BROUGHT.values():
        _put_aside(brought)
    _BROUGHT.clear()


def _put_aside(brought: dict[str, ModuleType]) -> None:
    for name, module in brought.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def load_object(path: str, kind: str, base: Path) -> Any:
    """The object that `kind` names, `path` being its key and `base` the config's folder.
    ConfigError if it can't be imported, or has no such name; of a file alone it lists the names."""
    source, _, name = (kind if ":" in kind else f"{kind}:").rpartition(":")
    try:
        module = _import(source, base)
    except (Exception, SystemExit) as error:  # whatever the user's module raises is theirs to read
        reason = f"{type(error).__name__}: {error}{_elsewhere(source, base)}"
        what = f"is '{kind}', but {source} can't be imported ({reason})"
        raise ConfigError(path, what) from error
    if not hasattr(module, name):
        public = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        if not name:
            valid = ", ".join(f"'{source}:{one}'" for one in public) or f"'{source}:NAME'"
            raise ConfigError(path, f"is '{kind}', a file; say which name in it: {valid}")
        raise ConfigError(path, f"is '{kind}', but {source} has no {name}; {nearest(name, public)}")
    return getattr(module, name)


def place_of(source: str, base: Path) -> tuple[Path, str]:
    """The folder that a kind's source lies in, and its name there."""
    folder, _, name = source.rpartition("/")
    return base / os.path.expanduser(folder or ("/" if source.startswith("/") else "")), name


def is_installed(name: str) -> bool:
    """Whether the environment has this module. Nothing is imported to find out."""
    return importlib.machinery.PathFinder.find_spec(name.split(".")[0]) is not None


def _elsewhere(source: str, base: Path) -> str:
    """What to say where the shell's folder has what the config's has not."""
    place, name = place_of(source, base)
    here, _ = place_of(source, Path())
    wanted = name if name.endswith(".py") else name.split(".")[0]
    found = [p for p in (wanted, f"{wanted}.py") if (here / p).exists()]
    if not found or here.resolve() == place.resolve() or (place / found[0]).exists():
        return ""
    there = (here / found[0]).resolve()
    return f"; it is looked for beside the config, in {place.resolve()}, and {there} is not there"


def _import(source: str, base: Path) -> ModuleType:
    place, name = place_of(source, base)
    place = place.resolve()
    own_no_more()
    with _importing_from(place):
        if name.endswith(".py"):
            return _import_file(place / name)
        importlib.invalidate_caches()
        return importlib.import_module(name)


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    name = f"faflow_user_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importing_from(place: Path) -> Iterator[None]:
    """The folder is looked in last, after the environment, and nothing is left in it. Modules of
    other folders are put aside."""
    for other, brought in _BROUGHT.items():
        if other != place:
            _put_aside(brought)
    mine = _BROUGHT.setdefault(place, {})
    sys.modules.update(mine)
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.path.append(str(place))
    sys.dont_write_bytecode = True  # which is known by its second and size only
    try:
        yield
    finally:
        sys.path.remove(str(place))
        sys.dont_write_bytecode = writes
        fresh = {name: sys.modules[name] for name in set(sys.modules) - before}
        mine |= {name: module for name, module in fresh.items() if _is_own(module)}


def _is_own(module: ModuleType) -> bool:
    """Whether a module is from outside the environment; a folder without an __init__ counts by
    what it holds."""
    given = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if given is None:
        return False
    return not any(Path(given).resolve().is_relative_to(folder) for folder in _environment())


@cache
def _environment() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = (Path(path).resolve() for path in (*paths, site.getusersitepackages()))
    return (*folders, Path(__file__).resolve().parents[1])

"""What a command finds around it, made such that it can work.

For a process that is a command's own, and before anything heavy is imported: JAX and matplotlib
read the environment then.
"""

import gc
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..cache import own_process

NO_JIT = "JAX_DISABLE_JIT"
SELDOM = 50_000, 20, 50  # looks for garbage, of which imports make none: a tenth of a small run


def settle_surroundings(tell: Callable[[str], None]) -> None:
    """Streams that can be written to, and an environment that flows and figures can be made in;
    `tell` hears of what is not as the user has set it."""
    if _is_command():
        own_process()
    _open_streams()
    gc.set_threshold(*SELDOM)
    # A file name or a sign that the encoding lacks becomes `?`, rather than an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if os.environ.pop(NO_JIT, "").lower() not in ("", "0", "false", "no", "off"):
        tell(f"{NO_JIT} is left out of account: flows are compiled")
    os.environ["MPLBACKEND"] = "agg"  # files are all that is drawn
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of its folders and its cache
    if "MPLCONFIGDIR" not in os.environ and (folder := _other_folder()):
        os.environ["MPLCONFIGDIR"] = str(folder)


def join_others() -> None:
    """Join the other processes of a flow; all but the first are silent from then on."""
    from ..runs import processes

    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)  # gloo says there that it is connected, and stdout may have to be JSON alone
    try:
        processes.join()
    finally:
        os.dup2(own, 1)
        os.close(own)
    if not processes.is_first():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_command() -> bool:
    """Whether the process is `faflow` or `python -m faflow`, and no script that calls it, which may
    have put other code in the place of faflow's."""
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return script.stem == "faflow" or script.parent == Path(__file__).parents[1]


def _open_streams() -> None:
    """Streams that were closed lead nowhere. Otherwise the first file opened would get its number,
    and what compiled code has to say would go into it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _other_folder() -> Path | None:
    """For matplotlib's cache, in faflow's: where it has none of its own, and there is faflow's."""
    own = [_under("XDG_CONFIG_HOME", ".config"), _under("XDG_CACHE_HOME", ".cache")]
    if all(base is not None and _is_writable(base / "matplotlib") for base in own):
        return None
    cache = own[1]
    folder = None if cache is None else cache / "faflow" / "matplotlib"
    return folder if folder is not None and _is_writable(folder) else None


def _under(variable: str, name: str) -> Path | None:
    try:
        return Path(os.environ.get(variable) or Path.home() / name)
    except RuntimeError:  # there is no home directory
        return None


def _is_writable(folder: Path) -> bool:
    """Whether it is a folder that can be written to, or can be made."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

"""Where faflow keeps what may be lost at any time: compiled programs, and how long things took."""

import os
import time
from pathlib import Path

# In the environment, so that worker processes have it: since when a process runs nothing but what
# is in faflow's files and those of the packages that it needs.
_SINCE = "FAFLOW_OWN_PROCESS_SINCE"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/faflow or ~/.cache/faflow.

    OSError, RuntimeError (no home directory) if it can't be made or written.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faflow"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} can't be written")
    return folder


def own_process() -> None:
    """This process is faflow's own, from now on: nobody has put other code in place of faflow's."""
    os.environ[_SINCE] = repr(time.time())


def own_no_more() -> None:
    """Code of somebody else's has been run."""
    os.environ.pop(_SINCE, None)


def own_since() -> float | None:
    """When this process, or the one that started it, began as faflow's own; None if it did not."""
    try:
        return float(os.environ[_SINCE])
    except (KeyError, ValueError):
        return None

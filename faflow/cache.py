"""Where faflow keeps what may be lost at any time: compiled programs, and how long things took."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/faflow or ~/.cache/faflow.

    OSError, RuntimeError (no home directory) if it can't be made or written.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faflow"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} can't be written")
    return folder

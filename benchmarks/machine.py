"""The machine and its software, and the environment of the peers, build/peers."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "build" / "peers"


def machine_line(more: str = "") -> str:
    """What the figures were measured with; `more`: further versions."""
    names = ("jax", "diffrax", "equinox", "scipy", "numpy")
    parts = [
        f"{platform.machine()}, {os.cpu_count()} cores ({_cpu()})",
        f"Python {platform.python_version()}",
        *(f"{name} {importlib.metadata.version(name)}" for name in names),
        more,
        "float64",
    ]
    return ", ".join(part for part in parts if part)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")  # Linux
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def make_peers() -> int:
    """A virtual environment with peers.txt in build/peers; the exit code of its pip."""
    venv.create(PEERS, with_pip=True, clear=True)
    pip = [PEERS / "bin" / "python", "-m", "pip", "-qq", "install", "-r"]
    return subprocess.run([*pip, HERE / "peers.txt"]).returncode


def find_peers() -> bool:
    """Whether build/peers is there; imports scikit-sundae from it, which needs numpy and scipy
    alone: its folder behind this environment's is enough."""
    folders = [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    sys.path += folders
    try:
        import sksundae.cvode  # noqa: F401
    except ImportError:
        return False
    finally:
        for folder in folders:
            sys.path.remove(folder)
    return True


def peer_versions() -> str:
    """Of what races.py takes from build/peers."""
    names = ("scikit-sundae", "torch", "torchdiffeq", "torchode")
    folders = [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    found = [next(iter(importlib.metadata.distributions(name=name, path=folders)), None)
             for name in names]  # fmt: skip
    return ", ".join(f"{d.metadata['Name']} {d.version}" for d in found if d is not None)

"""One flow run by several processes at once: who joins, who decides, who speaks.

Every process runs the same command on the same config, builds the same experiment and takes the
same steps; samples are spread over the devices of all. Process 0 looks at the result folder,
writes and prints.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np

from ..config.errors import ConfigError

COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_REFUSED = -1
Choice = TypeVar("Choice")


def join() -> None:
    """Join the other processes, before any array is made. ConfigError if they are not told.

    From the environment: JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and
    JAX_PROCESS_ID; what is not set, JAX finds by itself under Slurm, Open MPI, Kubernetes or on a
    cloud TPU. Processors exchange sums by gloo, GPUs by NCCL.
    """
    told = (os.environ.get(COORDINATOR), _number(PROCESSES), _number(PROCESS))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(*told)
    except (ValueError, RuntimeError) as error:
        what = (
            f"found no processes to join ({error}); run it under Slurm or Open MPI, or set "
            f"{COORDINATOR}, {PROCESSES} and {PROCESS}"
        )
        raise ConfigError("--distributed", what) from error
    _broadcast(0)  # whoever is missing is missed here, and not where results are waited for


def is_first() -> bool:
    """Whether this process writes and prints: the only one, or the first of several."""
    return jax.process_index() == 0


def decided(act: Callable[[], Choice], choices: tuple[Choice, ...]) -> Choice:
    """What `act` says in the first process, in all of them; one of `choices`.

    A ConfigError of the first process is raised there, and one that points to it in the others.
    """
    if jax.process_count() == 1:
        return act()
    try:
        index = choices.index(act()) if is_first() else 0
    except ConfigError:
        _broadcast(_REFUSED)
        raise
    index = _broadcast(index)
    if index == _REFUSED:
        raise ConfigError("--distributed", "process 0 refused to go on; see what it says")
    return choices[index]


def _broadcast(value: int) -> int:
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.asarray(value, np.int32)))


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise ConfigError(name, f"is '{text}'; set it to a whole number of 0 or more")
    return int(text)

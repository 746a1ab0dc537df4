"""What fails through neither a config nor faflow: there is no device, no memory, no disk."""

import os
import traceback

from .errors import ConfigError, told

FULL = "RESOURCE_EXHAUSTED"  # among the statuses of JAX's runtime
PLATFORMS = "JAX_PLATFORMS"


def reason_of(error: BaseException) -> ConfigError | None:
    """A failure in one line that names what is at fault; None for an error that nobody but faflow
    can have made."""
    if isinstance(error, SystemExit):
        return ConfigError(_last_place(error), f"called sys.exit({error.code!r}); take that out")
    if missing := no_device():
        return missing
    if out_of_memory(error):
        what = f"there is not enough ({told(error)}); make the problem smaller"
        return ConfigError("memory", what)
    if isinstance(error, OSError):
        place = error.filename if isinstance(error.filename, str) else _last_place(error)
        return ConfigError(place, error.strerror or told(error))
    import jax

    if isinstance(error, jax.errors.JaxRuntimeError):
        return ConfigError("JAX", f"failed while it ran ({told(error)})")
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there is no memory left, of this machine or of a device."""
    import jax

    # JAX has one class for all that its runtime reports; the status leads the text.
    jax_says = isinstance(error, jax.errors.JaxRuntimeError) and str(error).startswith(FULL)
    return jax_says or isinstance(error, MemoryError)


def no_device() -> ConfigError | None:
    """That JAX finds nothing to compute on, if it does not: then everything fails, somehow."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get(PLATFORMS)
        what = f"is {asked!r}, for which JAX finds no device ({told(error)}); set it to cpu"
        return ConfigError(PLATFORMS, what)
    return None


def _last_place(error: BaseException) -> str:
    """The file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__

"""Whose fault an error is: faflow's rooms know nothing of configs, and a user's kind may raise
anything. Both become one line that names a key."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any

from .errors import ConfigError, told
from .failure import no_device, out_of_memory

Suspects = Mapping[str, Any]  # choices, by the key that names them


@contextmanager
def blaming(key: str, suspects: Suspects, default: str | None = None) -> Iterator[None]:
    """What is raised inside becomes a ConfigError.

    It names the innermost of the suspects from outside faflow whose code was running. Where none
    was, a ValueError names `key`, and anything else the suspect `default` (the kind of `key`, or
    `key`) if that is from outside: what it returned did not fit. Bugs of faflow's own are raised as
    they are.
    """
    default = default or (f"{key}.kind" if f"{key}.kind" in suspects else key)
    try:
        yield
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raised, chosen = _culprit(error, suspects), suspects.get(default)
        if isinstance(error, RuntimeError | AssertionError) and (missing := no_device()):
            raise missing from error
        if raised is not None:
            what = f"is '{suspects[raised].kind}', which raised {told(error)}"
            raise ConfigError(raised, what) from error
        if isinstance(error, ValueError | ModuleNotFoundError):
            raise ConfigError(key, str(error)) from error
        if out_of_memory(error):
            what = f"asks for more memory than there is ({error}); lower it"
            raise ConfigError(key, what) from error
        if chosen is not None and chosen.foreign:
            what = f"is '{chosen.kind}', which does not fit here ({told(error)})"
            raise ConfigError(default, what) from error
        raise


def _culprit(error: BaseException, suspects: Suspects) -> str | None:
    found = None
    for frame, _ in walk_tb(error.__traceback__):
        for key, choice in suspects.items():
            if choice.foreign and _runs(frame, choice.cls):
                found = key
    return found


def _runs(frame: FrameType, entry: Any) -> bool:
    """Whether a frame is the entry itself or one of its methods."""
    if inspect.isclass(entry):
        return isinstance(frame.f_locals.get("self"), entry)
    return frame.f_code is getattr(entry, "__code__", None)

"""Bad input: one line that names the key, the value and the remedy."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .._names import closest

_FEW = 20
_SHOWN = 80
_TOLD = 300


class ConfigError(ValueError):
    """Something a user asked for that can't be done; `str` is one line, `<dotted key>: <what>`."""

    def __init__(self, key: str, what: str):
        self.key, self.what = key, what
        super().__init__(" ".join(f"{key}: {what}".split()))


@contextmanager
def disk_refusals(key: str, what: str, remedy: str = "") -> Iterator[None]:
    """What the disk refuses in here is a ConfigError: `what`, the system's reason, the remedy."""
    try:
        yield
    except OSError as error:
        raise disk_refusal(error, key, what, remedy) from error


def disk_refusal(error: OSError, key: str, what: str, remedy: str = "") -> ConfigError:
    """The same of an error that has been met."""
    text = f"{what} ({error.strerror or error})"
    return ConfigError(key, f"{text}; {remedy}" if remedy else text)


def folder_refusal(error: OSError, folder: Path, remedy: str) -> ConfigError:
    """The same of the folder of results."""
    return disk_refusal(error, "--out", f"is {folder}, which can't be written", remedy)


def shown(value: object) -> str:
    """A value as an error prints it: TOML's spelling where there is one, and not too long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 4] + " ..."


def told(error: BaseException) -> str:
    """An error of somebody else's in a line: its name and what it says, if not too long."""
    text = " ".join(str(error).split())
    return type(error).__name__ + (f": {text[:_TOLD]}" if text else "")


def nearest(name: str, names: Iterable[str]) -> str:
    """The remedy for a wrong name: the nearest valid one, and all of them if they are few."""
    valid = list(dict.fromkeys(names))
    close = closest(str(name), valid)
    guess = "" if close is None else f"did you mean '{close}'?"
    listing = f"valid: {', '.join(valid)}" if 0 < len(valid) <= _FEW else ""
    return " ".join(part for part in (guess, listing) if part) or "remove it"

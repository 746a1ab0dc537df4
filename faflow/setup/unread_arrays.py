"""Arrays that a config's files hold and nothing reads: a word about each, for it may be meant."""

from pathlib import Path

from ..config.network import ModelSection
from ..config.resolve import Resolved
from ..tasks import array_names, unknown_arrays


def unread_arrays(resolved: Resolved) -> list[str]:
    """A sentence per file that holds more than is read from it."""
    read: dict[Path, str] = {}
    letters = {"task": "Xyw", "init": "Wb", "feedback": _feedback(resolved)}
    for key, file in resolved.files().items():
        section = key.removesuffix(".file")
        model = isinstance(resolved.config.network, ModelSection)
        if model and section != "task":
            continue  # whose arrays have the paths of leaves, and each must be one
        if getattr(resolved, section).kind == "arrays":
            read[file] = read.get(file, "") + letters[section]
    return [said for file, known in read.items() if (said := _sentence(file, known))]


def _feedback(resolved: Resolved) -> str:
    return {"none": "", "layerwise": "F"}.get(resolved.rule.cls.form, "D")


def _sentence(file: Path, read: str) -> str:
    unknown = unknown_arrays(file)
    told = [name + (f" (did you mean {near}?)" if near else "") for name, near in unknown.items()]
    told += [name for name in array_names(file) if name not in unknown and name[0] not in read]
    return f"{file.name} holds {', '.join(told)}, which nothing here reads" if told else ""

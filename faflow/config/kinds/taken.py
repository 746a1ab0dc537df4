"""A config of Python's own: objects where it names kinds, arrays for its task."""

from collections.abc import Callable, Mapping
from typing import Any

from ..choice import GIVEN
from ..errors import ConfigError
from ..places import KINDS
from ..task import TaskSection

Table = dict[str, Any]
ARRAYS = ("X", "y")
_PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
_SECTIONS = ("network", "init", "rule", "feedback")


def taken(table: Mapping[str, Any]) -> tuple[Table, dict[str, Any]]:
    """The tables with a word (`given:Net`) in place of every object, and the objects by their keys.

    An object may stand where a kind is named, in `observe.names`, or for a section that has but a
    kind (`{"rule": rule}`); `X` and `y` of [task] are its data, in place of a kind. ConfigError for
    arrays beside a kind, or one without the other.
    """
    objects: Table = {}
    found = _without(table, objects, "", "")
    if isinstance(task := found.get("task"), dict):
        found["task"] = _without_arrays(task, objects)
    return found, objects


def _without(value: Any, objects: Table, path: str, pattern: str) -> Any:
    """`pattern`: the path without places in lists."""
    if isinstance(value, Mapping):
        below = path + "." if path else ""
        inside = pattern + "." if pattern else ""
        return {
            key: _without(item, objects, f"{below}{key}", f"{inside}{key}")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple) and pattern == "observe.names":
        return [_without(item, objects, f"{path}.{i}", pattern) for i, item in enumerate(value)]
    if isinstance(value, _PLAIN) or hasattr(value, "__array__"):
        return value
    if pattern in KINDS:
        return _word(value, objects, path)
    return {"kind": _word(value, objects, f"{path}.kind")} if pattern in _SECTIONS else value


def _word(held: Any, objects: Table, path: str) -> str:
    objects[path] = held
    return GIVEN + called(held)


def called(held: Any) -> str:
    """What an object is called in messages and records: a function by its name, any other object by
    its class's."""
    name = getattr(held, "__name__", None)
    return name if isinstance(name, str) else type(held).__name__


def _without_arrays(task: Table, objects: Table) -> Table:
    arrays = {name: task[name] for name in ARRAYS if name in task}
    if not arrays:
        return task
    if "kind" in task:
        what = f"is given beside task.kind = '{task['kind']}'; leave one of them out"
        raise ConfigError(f"task.{min(arrays)}", what)
    for name in ARRAYS:
        if arrays.get(name) is None:
            raise ConfigError(f"task.{name}", "is missing; give X and y, both")
    objects["task.kind"] = _data(**arrays)
    rest = {key: value for key, value in task.items() if key not in ARRAYS}
    return {"kind": GIVEN + "arrays", **rest}


def _data(X: Any, y: Any) -> Callable[..., Any]:
    def arrays(*, key: Any) -> Any:
        del key
        from ...tasks._host import Drawn

        return Drawn(X, y, labels=True)

    return arrays


def with_arrays(table: Mapping[str, Any], inputs: Any, targets: Any) -> Table:
    """A config's tables with arrays in place of the task that they name: what [task] says of the
    loss and of how data are prepared stays."""
    own = set(TaskSection.model_fields) - {"kind"}
    task = table.get("task", {})
    kept = {key: value for key, value in task.items() if key in own} if task else {}
    return {**table, "task": {**kept, "X": inputs, "y": targets}}

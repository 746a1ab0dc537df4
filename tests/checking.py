"""Annotated functions of faflow checked by beartype, and shapes by jaxtyping where there are any.

jaxtyping binds the arguments of a call, keeps the sizes that it met, and checks all twice: most of
the time of tests that run no flow. A function whose annotations name no array has no sizes, and is
checked by beartype alone: the same types, at a fifth of the price.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

_plain = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_shaped = jaxtyping.jaxtyped


def install() -> None:
    """Before the first import of faflow: modules that are already loaded stay unchecked."""
    jaxtyping.jaxtyped = _checked  # what the hook puts above every function
    jaxtyping.install_import_hook("faflow", "beartype.beartype")


def _checked(function: Any = None, **how: Any) -> Any:
    if function is None:
        return lambda function: _checked(function, **how)
    if type(function) is FunctionType and not any(map(has_shape, hints(function))):
        return _plain(function)
    return _shaped(function, **how)


def hints(function: Callable[..., Any]) -> list[Any]:
    return list(function.__annotations__.values())


def has_shape(hint: Any) -> bool:
    """Whether a type may name an array's shape; one that is text is not looked into."""
    if isinstance(hint, list | tuple):  # the arguments of a Callable
        return any(map(has_shape, hint))
    if isinstance(hint, TypeVar):
        return has_shape((hint.__bound__, *hint.__constraints__))
    if isinstance(hint, str | ForwardRef):
        return True
    return getattr(hint, "__module__", None) == "jaxtyping" or has_shape(get_args(hint))

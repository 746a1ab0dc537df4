"""Annotated functions of faflow checked by beartype, and shapes by jaxtyping where there are any.

jaxtyping's own decorator binds the arguments of a call and has beartype check them twice, by two
functions that it writes: most of the time of tests that run no flow. Here beartype checks the
function itself, arguments before the call and the result after it, while jaxtyping keeps the sizes
that it meets; a function whose annotations name no array has none to keep.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import isgeneratorfunction
from types import CodeType, FunctionType
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

_plain = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_shaped = jaxtyping.jaxtyped
_written: dict[CodeType, Any] = {}


def install() -> None:
    """Before the first import of faflow: modules that are already loaded stay unchecked."""
    jaxtyping.jaxtyped = _checked  # what the hook puts above every function
    jaxtyping.install_import_hook("faflow", "beartype.beartype")


def _checked(function: Any = None, **how: Any) -> Any:
    if function is None:
        return lambda function: _checked(function, **how)
    if is_dataclass(function) and not hasattr(function.__init__, "__wrapped__"):
        function.__init__ = _checked(function.__init__, **how)
        return function
    if type(function) is not FunctionType or isgeneratorfunction(function):
        return _shaped(function, **how)
    checked = _plainly(function)
    if not any(map(has_shape, hints(function))):
        return checked

    @wraps(function)
    def sized(*given: Any, **named: Any) -> Any:
        with _shaped("context"):  # sizes that are met within it agree
            return checked(*given, **named)

    return sized


def _plainly(function: FunctionType) -> Any:
    """The function checked by beartype. One that is made in another is made again whenever that is
    called: the code that beartype writes for it, half a millisecond, is written once."""
    written = _written.get(function.__code__)
    if written is not None and written.__annotations__ == function.__annotations__:
        again = FunctionType(written.__code__, written.__globals__)
        again.__kwdefaults__ = {**written.__kwdefaults__, "__beartype_func": function}
        return wraps(function)(again)
    checked = _plain(function)
    if checked is not function and "<locals>" in function.__qualname__:
        _written[function.__code__] = checked
    return checked


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

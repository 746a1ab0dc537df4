"""What must not be left behind when a process has to end at once: half-written files, workers.

Whoever makes such a thing says how it is undone, for as long as it is there. That is for the
command line, which ends without unwinding when it is interrupted in the midst of a compilation; in
a process that nobody ends that way nothing is ever undone here.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_undo: dict[object, Callable[[], object]] = {}
_held = threading.RLock()


class _Main:
    """How many pieces the main thread is in, and whether it is to be interrupted after them."""

    pieces = 0
    interrupted = False


_main = _Main()


@contextmanager
def undone_at_the_end(undo: Callable[[], object]) -> Iterator[None]:
    """Inside, `undo` is part of the end: it may run in another thread, and the process is gone
    afterwards. Once the end has begun, nothing new begins: this waits for it."""
    token = object()
    with _held:
        _undo[token] = undo
    try:
        yield
    finally:
        _undo.pop(token, None)


@contextmanager
def in_one_piece() -> Iterator[None]:
    """Inside, the end waits: files that belong together are put in place. An interruption of the
    main thread, whichever thread heard of it, comes when it leaves the outermost piece."""
    if threading.current_thread() is not threading.main_thread():
        with _held:
            yield
        return
    with _held:
        _main.pieces += 1
        try:
            yield
        finally:
            _main.pieces -= 1
            if _main.pieces == 0 and _main.interrupted:
                raise KeyboardInterrupt


def puts_off_interruption() -> bool:
    """Whether the main thread, which asks, is in the midst of a piece: then the interruption that
    it has been asked about comes later."""
    _main.interrupted = _main.pieces > 0
    return _main.interrupted


def leave_nothing(patience: float) -> None:
    """Undo all there is, the latest first. For the end of the process: what is put in place now is
    waited for (`patience` seconds at most; then all stays as it is), and nothing is afterwards."""
    if not _held.acquire(timeout=patience):
        return
    for undo in reversed(list(_undo.values())):
        with suppress(Exception):
            undo()

"""The end of a command that is interrupted: soon, in one line, and with nothing half-made left.

Python runs a handler of a signal in the main thread, between two instructions of its own, and there
may be a minute between two: XLA compiles. So a thread hears of signals as well, through the wakeup
pipe of `signal`. The main thread has GRACE seconds to unwind; then what is left is undone here.
Either way the process ends without JAX's clean-up, which waits for what is compiled or crashes.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import NoReturn

from ..leftovers import leave_nothing, puts_off_interruption

GRACE = 0.7  # seconds to unwind
PATIENCE = 0.5  # seconds for files that are just put in place, and for output that nobody reads
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


def interruptible(act: Callable[[], int], silent: bool = False) -> int:
    """What `act` returns, in a process that is a command's own, in its main thread: a signal
    meanwhile ends the process with 128 + its number, and one line unless `silent`. Signals that the
    process was started to ignore (nohup) are ignored."""
    voice = os.open(os.devnull, os.O_WRONLY) if silent else os.dup(2)
    heard: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) == 1:  # those that follow are for the thread
            # Compiled code and the garbage collector print what they can't raise.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            if not _is_loading(frame) and not puts_off_interruption():
                raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watching = threading.Thread(target=_watch, args=(reader, voice, set(numbers)), daemon=True)
    before = {number: signal.getsignal(number) for number in numbers}
    wakeup = -1
    try:
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        watching.start()
        for number in numbers:
            signal.signal(number, unwind)
        code = act()
        if not heard:  # or somebody else's code has caught it
            return code
        _end(heard[0], voice)
    except BaseException as error:
        if heard or isinstance(error, KeyboardInterrupt):
            _end(heard[0] if heard else signal.SIGINT, voice)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writer)
        watching.join()
        os.close(reader)
        os.close(voice)


def _is_loading(frame: FrameType | None) -> bool:
    """Whether a compiled module is just brought in, whose code may crash on an exception that comes
    from nowhere (jaxlib's does): the thread ends the process then."""
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


def _watch(reader: int, voice: int, numbers: set[int]) -> None:
    """Ends the process GRACE seconds after the first signal, or at the second; at the third as it
    is. Returns when the command is done."""
    first = _next(reader, numbers)
    if first is None:
        return
    if select.select([reader], [], [], GRACE)[0]:
        _next(reader, numbers)
    threading.Thread(target=_end, args=(first, voice), daemon=True).start()
    _next(reader, numbers)
    os._exit(128 + first)


def _next(reader: int, numbers: set[int]) -> int | None:
    while read := os.read(reader, 1):
        if read[0] in numbers:
            return read[0]
    return None


_ending = threading.Lock()


def _end(number: int, voice: int) -> NoReturn:
    """Whichever thread comes first; the others wait for it."""
    _ending.acquire()
    below = "\n" if os.isatty(voice) else ""  # the bar, or the ^C that a terminal shows
    with suppress(OSError):
        os.write(voice, f"{below}faflow: interrupted\n".encode())
    leave_nothing(PATIENCE)
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(PATIENCE)
    os._exit(128 + number)


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()

"""What the command line prints."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Unsaid(Exception):
    """stdout can't be written; `cause` says why."""

    def __init__(self, cause: OSError):
        super().__init__(str(cause))
        self.cause = cause


def say(text: str = "", *, end: str = "\n") -> None:
    """Text on stdout. Unsaid if that can't be written."""
    try:
        print(text, end=end)
    except OSError as error:
        raise Unsaid(error) from error


def say_json(what: Any) -> None:
    say(json.dumps(what, indent=2, allow_nan=False))


def say_toml(text: str) -> None:
    """Text that is to be read again: signs that stdout's encoding lacks are TOML's escapes."""
    encoding = sys.stdout.encoding or "utf-8"

    def sayable(sign: str) -> str:
        try:
            sign.encode(encoding)
        except UnicodeEncodeError:
            return f"\\U{ord(sign):08X}"
        return sign

    say("".join(map(sayable, text)), end="")


def all_said() -> None:
    """Nothing is kept back. Unsaid if stdout can't be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise Unsaid(error) from error


def tell(text: str) -> None:
    """A line on stderr, which may lead nowhere."""
    pass_on("faflow: " + " ".join(text.split()) + "\n")


def pass_on(told: str) -> None:
    """What a worker has told, on stderr, which may lead nowhere."""
    with suppress(OSError, ValueError):
        sys.stderr.write(told)
        sys.stderr.flush()


def print_rows(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """A table with one column per key of the first row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say(f"{title}: nothing recorded")
        return
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row.get(key, "")) for key in rows[0]))
    # A pipe has no width: wide enough that hardly a row is wrapped there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_entries(topic: str, rows: Sequence[Mapping[str, str]]) -> None:
    say(topic)
    for row in rows:
        say(f"  {row['name']}")
        for key, text in row.items():
            if key != "name":
                say(f"      {text}" if key == "about" else f"      {key}: {text}")
    say()


def print_summary(
    summary: Mapping[str, Any], folder: Path | None, fresh: bool, certified: bool
) -> None:
    from ..measures.summary import summary_rows
    from ..measures.tables import certificate_rows, certificate_title

    place = "" if folder is None else f"  ->  {folder}" + ("" if fresh else "  (already there)")
    print_rows(f"{summary['name']}{place}", summary_rows(summary))
    for warning in summary.get("warnings", ()):
        say(f"note: {warning}")
    if certified:
        title = certificate_title(summary["certificate"])
        print_rows(title, certificate_rows(summary["certificate"]))
    say()


def in_words(seconds: float) -> str:
    """`40 s`, `7 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def beside_bars() -> Iterator[None]:
    """What is printed inside, on either stream, does not run into a bar, which goes on below."""
    if not sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        yield


@contextmanager
def counter(
    total: int, of: str, name: str = "", quiet: bool = False
) -> Iterator[Callable[[int, str], None]]:
    """Shows how many of `total` are done, by a bar with some words, where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, words: None
        return
    from tqdm import tqdm

    # tqdm's own rate and time to go know nothing of compiling, workers and what ran before.
    look = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} " + of + " [{elapsed}{postfix}]"
    wide = shutil.get_terminal_size().columns  # 80 where a terminal doesn't know its size
    with tqdm(desc=name, total=total, bar_format=look, ncols=wide, nrows=20) as bar:

        def show(done: int, words: str) -> None:
            bar.n = min(max(done, 0), total)
            bar.ncols = shutil.get_terminal_size().columns
            bar.set_postfix_str(words, refresh=False)
            bar.refresh()

        yield show


class Bar:
    """How much of a flow is done, on stderr: percent of its time, seconds so far and to go.

    For the `meter` of `faflow.run` and `faflow.integrate`; a flow after the first gets a bar of its
    own. `patience`: seconds before which nothing is shown, nor left of a bar afterwards.
    """

    def __init__(self, patience: float = 0.0):
        self._bar: Any = None
        self._patience, self._since = patience, time.perf_counter()

    def __call__(self, share: float) -> None:
        """`share` of the flow's time lies behind it; 1: it is over. What is shown never falls."""
        share = min(max(0.0 if self._bar is None else self._bar.n, share), 1.0)
        if self._bar is None:
            if time.perf_counter() - self._since < self._patience or (
                share >= 1 and self._patience
            ):
                return
            self._bar = self._begun(share)
        self._bar.n = share
        self._bar.refresh()
        if share >= 1:
            self._bar.close()
            self._bar = None

    def _begun(self, share: float) -> Any:
        from tqdm import tqdm

        form = "{percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go"
        # What ran before says nothing of the pace; a flow that is over has nothing to go.
        begun, stays = share if share < 1 else 0.0, not self._patience
        # A terminal that doesn't know its size shows it all the same.
        return tqdm(total=1.0, initial=begun, bar_format=form, ncols=60, nrows=20, leave=stays)


def patient_bar() -> Bar | None:
    """For flows that take more than a second, where somebody watches: in a terminal or a Jupyter
    notebook, whose kernel's streams are no terminals."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    watched = sys.stderr.isatty() or getattr(shell, "kernel", None) is not None
    return Bar(patience=1.0) if watched else None

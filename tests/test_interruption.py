"""Interrupted at any moment: one line, 128 + the signal's number, nothing half-made and no process
left. Signals go to processes of the command's own; no test waits for a compiler."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import NET

import faflow
from faflow import leftovers
from faflow.store.exchange import put_in_place, temporary_for
from faflow.store.files import replace_text
from faflow.sweeps.chunks import chunk_paths

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0  # seconds that nothing of this takes, on however busy a machine
WORD = "faflow: interrupted\n"

CONFIG = f"""
name = "small"
{NET}
[flow]
t1 = 0.5
saves = 3
solver = "tsit5"
[observe]
names = ["loss"]
"""
MEMBERS = 2000  # more than are done by the time that the first are on disk
SWEEP = f"[sweep.product]\nseed = {{ count = {MEMBERS} }}\n"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

# What a rule's constructor does here stands for what is not Python: a compiler (compiled code that
# does not come back, a lock that is taken twice), a library that catches everything.
RULE = """
import ctypes
import os
from pathlib import Path
from time import sleep
from faflow.rules import RULES

class Busy(RULES["gradient"]):
    def __post_init__(self):
        Path("begun").touch()
        Path(f"begun{os.getpid()}").touch()
        lock = ctypes.create_string_buffer(256)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(lock)

class Deaf(RULES["gradient"]):
    def __post_init__(self):
        Path("begun").touch()
        Path(f"begun{os.getpid()}").touch()
        for _ in range(600):
            try:
                sleep(0.1)
            except BaseException:
                pass
"""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Signals that the tests were started to ignore (`nohup`, `&`) are heard by their children."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    ignored = [number for number, handler in before.items() if handler == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(CONFIG)
    (tmp_path / "grid.toml").write_text(CONFIG.replace('"tsit5"', '"heun"\nstep = 0.05') + SWEEP)
    (tmp_path / "mine.py").write_text(RULE)
    return tmp_path


# What will not unwind is not given long to.
SOON = "interruption.GRACE = 0.05"
HASTY = f"""
import sys
from faflow.cli import interruption, main
{SOON}
sys.exit(main())
"""


def start(
    place: Path, *argv: str, stderr: int = subprocess.PIPE, code: str = ""
) -> subprocess.Popen[str]:
    """A command in a process of its own, or `code` that gets its words."""
    program = ["-c", code, *argv] if code else ["-m", "faflow", *argv]
    return subprocess.Popen(
        [sys.executable, *program], cwd=place, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    last = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < last
        time.sleep(0.01)


def is_listening(process: subprocess.Popen[str]) -> bool:
    """Whether SIGTERM has a handler in a process, which it has from the command's first moment."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def alive(session: int) -> list[str]:
    """The processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:  # gone meanwhile
            continue
        if int(own) == session and state != "Z":
            found.append(stat.parent.name)
    return found


def ended(process: subprocess.Popen[str], number: int) -> str:
    """What stdout got of a process that ended as it should; nothing of it is left."""
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (128 + number, WORD)
    last = time.monotonic() + PATIENCE  # Python's own helper ends a moment later
    while alive(process.pid):
        assert time.monotonic() < last, alive(process.pid)
        time.sleep(0.01)
    return out


@pytest.mark.parametrize(
    "argv",
    [
        ("run", "small.toml"),
        ("sweep", "grid.toml"),
        ("laws", "small.toml"),
        ("check", "gradient"),
        ("report", "nothing"),
        ("reproduce", "garg-vempala-2022"),
    ],
    ids=lambda argv: argv[0],
)
def test_while_it_imports(place: Path, argv: tuple[str, ...]) -> None:
    process = start(place, *argv)
    until(lambda: is_listening(process), process)
    process.send_signal(signal.SIGINT)
    assert ended(process, signal.SIGINT) == ""
    assert not (place / "results").exists()


# Ctrl-C some milliseconds after the loading of jaxlib's compiled module has begun.
LOADING = """
import os, subprocess, sys
from faflow.cli import interruption, main

def hear(event, about):
    if event == "import" and "jaxlib/_jax" in str(about[1]):
        subprocess.Popen(["sh", "-c", f"sleep {delay}; kill -INT {{os.getpid()}}"])

sys.addaudithook(hear)
interruption.GRACE = 0.1
sys.argv = ["faflow", "laws", "small.toml"]
sys.exit(main())
"""


@pytest.mark.parametrize("delay", [0.005, 0.01])
def test_while_a_compiled_module_is_loaded(place: Path, delay: float) -> None:
    """An exception in the midst of it ended the process with a signal of its own."""
    process = start(place, code=LOADING.format(delay=delay))
    assert ended(process, signal.SIGINT) == ""


@pytest.mark.parametrize(
    ("argv", "rule", "number"),
    [
        (("run", "small.toml", "--set", "rule.kind=RULE"), "Busy", signal.SIGINT),
        (("run", "small.toml", "--set", "rule.kind=RULE"), "Deaf", signal.SIGINT),
        (("check", "RULE"), "Busy", signal.SIGTERM),
        (("laws", "small.toml", "--set", "rule.kind=RULE"), "Busy", signal.SIGHUP),
    ],
)
def test_while_python_is_not_asked(place: Path, argv, rule: str, number: int) -> None:
    """In the midst of compiled code, and of code that catches everything."""
    words = (word.replace("RULE", f"mine.py:{rule}") for word in argv)
    process = start(place, *words, code=HASTY)
    until((place / "begun").exists, process)
    process.send_signal(number)
    assert ended(process, number) == ""
    assert not (place / "results").exists()


def test_jobs_end_with_the_command(place: Path) -> None:
    """Ctrl-C goes to all processes of a terminal; workers in compiled code, and deaf ones."""
    for rule in ("Deaf", "Busy"):
        text = CONFIG.replace("feedback-alignment", f"mine.py:{rule}").replace("small", rule)
        (place / f"{rule}.toml").write_text(text)
    argv = ("run", "Deaf.toml", "Busy.toml", "--jobs", "2", "--out", "out")
    process = start(place, *argv)
    until(lambda: len(list(place.glob("begun?*"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process, signal.SIGINT) == ""
    assert not (place / "out").exists()


# What takes long in a command, and hears nothing.
DEAF = """
from pathlib import Path
from time import sleep
from faflow.cli import interruption

def act():
    Path("begun").touch()
    for _ in range(600):
        try:
            sleep(0.1)
        except BaseException:
            pass

interruption.interruptible(act)
"""


def test_twice_is_at_once(place: Path) -> None:
    process = start(place, code=DEAF)
    until((place / "begun").exists, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, 143) and (out, err) == ("", WORD)


@pytest.mark.parametrize(
    ("step", "argv"),
    [
        ("compiling ...", ("small.toml", "--set", "flow.kinks=exact", "network.activation=relu")),
        ("to go", ("small.toml", "--set", "flow.solver=heun", "flow.step=1e-9",
                   "flow.max_steps=1000000000")),
    ],
)  # fmt: skip
def test_while_it_compiles_and_runs(place: Path, step: str, argv: tuple[str, ...]) -> None:
    """On a terminal, which is where the steps are told, and where the flow's bar is."""
    ours, theirs = pty.openpty()
    arguments = ("run", *argv, "--out", "out")
    process = start(place, *arguments, stderr=theirs)
    os.close(theirs)
    told = ""
    while step not in told:
        assert process.poll() is None
        told += os.read(ours, 1024).decode()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    while WORD.strip() not in told:
        told += os.read(ours, 1024).decode()
    os.close(ours)
    assert process.returncode == 130 and out == "" and "Traceback" not in told
    assert told.replace("\r", "").endswith("\n" + WORD)
    assert {path.name for path in place.iterdir()} == {"small.toml", "grid.toml", "mine.py"}


@pytest.mark.parametrize(
    "where",
    [
        ("--workers", "1"),
        ("--workers", "2"),
        pytest.param(("--on", "dask", "--workers", "2"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_a_sweep_keeps_what_is_done(place: Path, where: tuple[str, ...]) -> None:
    """Ctrl-C goes to all processes of a terminal."""
    if "dask" in where:
        pytest.importorskip("distributed")
    folder = place / "grid"
    process = start(place, "sweep", "grid.toml", "--out", "grid", *where)
    until(lambda: bool(chunk_paths(folder)), process)
    os.killpg(process.pid, signal.SIGINT)
    ended(process, signal.SIGINT)
    assert list(folder.rglob("*.tmp")) == []
    statuses = faflow.open(folder).summary["statuses"]
    assert 0 < statuses["pending"] < MEMBERS


# Ctrl-C, to all processes, when a worker is there that has not been told yet what to do.
TELLING = """
import os, signal, sys, time
from multiprocessing import util
from faflow.cli import main

spawn = util.spawnv_passfds

def interrupted(path, args, fds):
    pid = spawn(path, args, fds)
    if b"spawn_main" in b" ".join(map(os.fsencode, args)):
        os.killpg(0, signal.SIGINT)
        time.sleep(0.1)
    return pid

util.spawnv_passfds = interrupted
sys.argv = ["faflow", "sweep", "grid.toml", "--out", "grid", "--workers", "2"]
sys.exit(main())
"""


def test_while_a_worker_is_told_what_to_do(place: Path) -> None:
    assert ended(start(place, code=TELLING), signal.SIGINT).count("\n") == 1  # the plan


def test_a_piece_is_whole_when_it_is_interrupted(place: Path) -> None:
    """Also one that holds others; and nothing comes after it."""
    words = (
        "import os, signal; from pathlib import Path\n"
        "from faflow.cli.interruption import interruptible\n"
        "from faflow.leftovers import in_one_piece\n"
        "def act():\n"
        "    with in_one_piece():\n"
        "        with in_one_piece():\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            Path('inner').touch()\n"
        "        Path('outer').touch()\n"
        "    Path('after').touch()\n"
        "    return 0\n"
        "interruptible(act)"
    )
    assert ended(start(place, code=words), signal.SIGINT) == ""
    assert {path.name for path in place.iterdir() if not path.suffix} == {"inner", "outer"}


def test_python_s_own_helper_says_nothing() -> None:
    """It starts with the first semaphore, which an engine has before it has a process; of a driver
    that was killed by then it told the user about leaked semaphores."""
    words = (
        "from multiprocessing import resource_tracker as tracker; from pathlib import Path; "
        "from faflow.sweeps.workers.engines import process; process(0); "
        "place = Path(f'/proc/{tracker._resource_tracker._pid}')\n"
        "while b'resource_tracker' not in (place / 'cmdline').read_bytes(): pass\n"
        "assert b'PYTHONWARNINGS=ignore' in (place / 'environ').read_bytes().split(bytes(1))"
    )
    subprocess.run([sys.executable, "-c", words], check=True, timeout=PATIENCE, cwd=ROOT)


def test_nohup_is_respected(place: Path) -> None:
    """A signal that the process was started to ignore."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(place, code=DEAF.replace("def act", f"{SOON}\n\ndef act"))
    finally:
        signal.signal(signal.SIGHUP, before)
    until((place / "begun").exists, process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ended(process, signal.SIGINT)


# ---- what is left -------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the process, which these tests survive."""
    monkeypatch.setattr(leftovers, "_held", threading.RLock())
    monkeypatch.setattr(leftovers, "_undo", {})


def test_half_written_things_are_undone(fresh, tmp_path: Path, monkeypatch) -> None:
    seen: list[list[str]] = []

    def end(*_: object) -> None:
        seen.append([path.name for path in tmp_path.iterdir()])
        leftovers.leave_nothing(1.0)
        seen.append([path.name for path in tmp_path.iterdir()])

    with temporary_for(tmp_path / "result") as temporary:
        (temporary / "half").write_text("x")
        end()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", end)
        with pytest.raises(FileNotFoundError):
            replace_text(tmp_path / "text", "x")
    assert [len(names) for names in seen] == [1, 0, 1, 0]


def test_the_end_waits_for_what_is_put_in_place(fresh, tmp_path: Path, monkeypatch) -> None:
    """And then it stays."""
    rename, threads = os.rename, []

    def slowly(*paths: Path) -> None:
        threads.append(threading.Thread(target=leftovers.leave_nothing, args=(PATIENCE,)))
        threads[0].start()
        time.sleep(0.05)
        rename(*paths)

    monkeypatch.setattr(os, "rename", slowly)
    with temporary_for(tmp_path / "result") as temporary:
        (temporary / "file").write_text("x")
        put_in_place(temporary, tmp_path / "result", replace=False)
        threads[0].join()
    assert [path.name for path in tmp_path.rglob("*")] == ["result", "file"]

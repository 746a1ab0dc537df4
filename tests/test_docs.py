"""README and pages say what happens: their blocks are run, in order, in an empty directory.

```python and ```toml blocks that start with `# file: NAME` are written there; other python blocks
are executed in one namespace, and a ```text block right after one is what it prints. ```console
blocks hold commands (`$ faflow …`) and what they print. `…` stands for anything in a line, alone on
a line for any lines. With --pages every line of ```sh blocks is run, and has to end well, but for
those that ELSEWHERE says are run by something else.
"""

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faflow.cli import COMMANDS, main
from faflow.cli.arguments import make_parser
from faflow.config.load import locate

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")
PAGES = (
    "own-model.md",
    "own-rule.md",
    "own-kinds.md",
    "laws.md",
    "solvers.md",
    "own-data.md",
    "command-line.md",
    "sweeps.md",
    "wide.md",
    "derivatives.md",
    "large-flows.md",
    "../README.md",
    "tour.md",
)
# Lines of ```sh blocks that are not run here, and what does run them or why nothing can.
ELSEWHERE = {
    r"(pip|make)\b": "test_shipped.py installs a wheel; .ci/run calls make",
    r"(for|do|done|cp)\b|    cp ": "how a page's own figures were made",
    r"faflow (reproduce |report results/reproduce-)": "minutes, by hand; "
    "reproduce/test_reproduce.py has single checks, report/test_report.py their page",
    r"faflow sweep sweep-theorem1": "576 flows; sweeps/test_sweep.py has smaller ones",
    r"faflow sweep .*--on (slurm|dask)": "sweeps/test_sweep_engines.py, without Slurm",
    r"faflow run .*flow.devices=4": "setup/test_split.py, on two devices",
    r"(srun|JAX_COORDINATOR_ADDRESS).* faflow run": "setup/test_split.py, two processes",
}

# Configs of ```sh blocks that take twenty seconds and more.
LONG = (
    "theorem1-relu",
    "relu-one-hidden",
    "discrete-twin",
    "law-weight-decay",
    "order-parameters",
    "sweep-exponents",
    "sensitivity-feedback",
)


def blocks(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(text)]


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Every command of a console block with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def fits(line: str, shown: str) -> bool:
    """`…` stands for anything; how many blanks there are is no matter."""
    words = [" ".join(part.split()) for part in shown.split("…")]
    pattern = ".*".join(map(re.escape, words))
    return re.fullmatch(pattern, " ".join(line.split())) is not None


def misfit(said: str, shown: list[str]) -> str:
    """What of the lines shown was not said, in order; "" if all was, and nothing else."""
    lines = [line for line in said.splitlines() if line.strip()]
    skipping = False
    for wanted in filter(str.strip, shown):
        if wanted.strip() == "…":
            skipping = True
            continue
        while skipping and lines and not fits(lines[0], wanted):
            lines.pop(0)
        if not lines or not fits(lines[0], wanted):
            return f"shown: {wanted}\nsaid:  {lines[0] if lines else 'nothing more'}"
        lines.pop(0)
        skipping = False
    return "" if skipping or not lines else f"not shown: {lines[0]}"


def execute(source: str, names: dict) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source, "docs", "exec"), names)
    return said.getvalue()


def command(line: str) -> tuple[str, int]:
    """What `faflow …` says, on both streams, and its exit code."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "faflow", f"only faflow is run: {line}"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    return said.getvalue(), code


def shell_lines(block: str) -> list[str]:
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def elsewhere(line: str) -> str | None:
    """The pattern of ELSEWHERE that a line of a shell begins with."""
    return next((pattern for pattern in ELSEWHERE if re.match(pattern, line)), None)


def run_page(text: str) -> list[str]:
    """Complaints about a page; it is run in the current directory."""
    found: list[str] = []
    names: dict = {"__name__": "docs"}
    printed: str | None = None
    for kind, body in blocks(text):
        name = FILE.match(body)
        if kind in ("python", "toml") and name:
            Path(name[1]).write_text(body)
        elif kind == "python":
            printed = execute(body, names)
            continue
        elif kind == "text" and printed is not None:
            found += filter(None, [misfit(printed, body.splitlines())])
        elif kind == "console":
            for line, shown in commands(body):
                said, code = command(line)
                refused = any(text.startswith("faflow: ") for text in shown)
                if code != (2 if refused else 0):
                    found.append(f"$ {line}: exit code {code}\n{said}")
                elif problem := misfit(said, shown):
                    found.append(f"$ {line}\n{problem}")
        printed = None
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with the checkout's configs, where modules can be imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # a file that is written twice in a second
    # The first rows of what `faflow check` prints: all of them take half a minute.
    monkeypatch.setattr("faflow.tools.check.NETS", ((5, 4, 2),))
    monkeypatch.setattr("faflow.tools.check.ACTIVATIONS_TRIED", ("linear",))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, place: Path, unpainted: None) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert any(kind in ("console", "python") or FILE.match(body) for kind, body in blocks(text))
    complaints = run_page(text)
    assert not complaints, "\n\n".join(complaints)


@pytest.mark.pages
@pytest.mark.parametrize("config", [None, *LONG])
def test_commands_of_all_pages_end_well(
    place: Path, config: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that take longer apart; the others in one directory, as one reader would: what has run
    before is answered at once. Workers optimise programs as a user's do, who run them often."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    if config is None:
        assert run_lines(lambda line: not any(long in line for long in LONG)) > 10
    else:
        assert run_lines(lambda line: config in line) > 0


def run_lines(wanted: Callable[[str], bool]) -> int:
    """Runs what is wanted of all pages' ```sh blocks and is not run elsewhere; how many lines."""
    ran = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text("utf-8")
        for _, body in blocks(text):
            if name := FILE.match(body):
                Path(name[1]).write_text(body)
        for line in filter(wanted, shell(text)):
            if not elsewhere(line):
                said, code = command(line)
                assert code == 0, f"{page.name}: {line}: exit code {code}\n{said}"
                ran += 1
    return ran


def test_no_other_page_has_blocks_to_run() -> None:
    """Python, commands with what they print, and files are run wherever they stand."""
    listed = {Path(page).name for page in PAGES}
    for path in (ROOT / "docs").rglob("*.md"):
        kinds = {kind for kind, body in blocks(path.read_text("utf-8"))
                 if kind in ("python", "console") or FILE.match(body)}  # fmt: skip
        assert not kinds or path.name in listed, f"{path}: {kinds} blocks that no test runs"


def shell(text: str) -> list[str]:
    return [line for kind, body in blocks(text) if kind == "sh" for line in shell_lines(body)]


def test_what_is_run_elsewhere_is_shown_somewhere() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    lines = [line for page in pages for line in shell(page.read_text("utf-8"))]
    assert {elsewhere(line) for line in lines} - {None} == set(ELSEWHERE)
    for reason in ELSEWHERE.values():
        for name in re.findall(r"\S+\.py", reason):
            assert (ROOT / "tests" / name).is_file(), name


def shell_commands(text: str) -> list[str]:
    """What is said to faflow in ```sh blocks, without comments and what the shell does."""
    return [
        line[line.index("faflow ") :]
        for line in shell(text)
        if re.match(r"((srun -N 4|\w+=\S+) )*faflow ", line)
    ]


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"])
def test_commands_that_are_not_run_are_commands(page: Path) -> None:
    parser = make_parser(COMMANDS, "faflow")
    for line in shell_commands(page.read_text("utf-8")):
        asked = vars(parser.parse_args(shlex.split(line, comments=True)[1:]))
        for config in asked.get("configs", [asked["config"]] if "config" in asked else []):
            assert not config.startswith("configs/") or (ROOT / config).is_file()
            locate(config)  # ConfigError if it is a name, and none of a shipped config


def documented() -> list[str]:
    """The modules that the reference shows."""
    pages = (ROOT / "docs" / "api").glob("*.md")
    return sorted(
        name
        for page in pages
        for name in re.findall(r"automodule:: (\S+)", page.read_text("utf-8"))
    )


@pytest.mark.parametrize("module", documented())
def test_what_the_reference_names_says_what_it_is(module: str) -> None:
    """Without a docstring Sphinx leaves a name out of the reference, and says nothing of it."""
    names = vars(importlib.import_module(module))
    room = module if "__path__" not in names else "faflow."  # a package names what others have
    ours = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(room)
    }
    assert ours
    assert not [name for name, value in ours.items() if not (value.__doc__ or "").strip()]


def test_control_what_a_page_must_not_show(place: Path) -> None:
    """Wrong output, output that isn't told, a wrong exit code and a wrong print are complaints."""
    text = """
```toml
# file: a.toml
name = "a"
```
```console
$ faflow --version
faflow 0.0.0
$ faflow list laws
laws
$ faflow show a.toml
name = "a"
$ faflow list laws
…
  matrix-balance
…
```
```python
print(1 + 1)
```
```text
3
```
"""
    wrong, untold, refused, printed = run_page(text)
    assert "faflow 0.0.0" in wrong and "not shown: layer-balance" in untold.replace("  ", "")
    assert "exit code 2" in refused and "shown: 3" in printed


@pytest.mark.parametrize(
    ("said", "shown", "fine"),
    [
        ("a\nb\nc\n", ["a", "…", "c"], True),
        ("a\nb\nc\n", ["a", "c"], False),
        ("a\nb\n", ["a"], False),
        ("a\nb\n", ["a", "…"], True),
        ("gap 2.6e+13 of 3\n", ["gap … of 3"], True),
        ("gap 2.6e+13 of 3\n", ["gap … of 4"], False),
        ("a\n", ["a", "b"], False),
    ],
)
def test_how_output_is_compared(said: str, shown: list[str], fine: bool) -> None:
    assert (misfit(said, shown) == "") is fine

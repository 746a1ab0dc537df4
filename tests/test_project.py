"""What surrounds the package agrees with it: version, changelog, dependencies, workflows, hooks."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import faflow

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
MODULES = {"scikit-learn": "sklearn", "tomli-w": "tomli_w"}  # where they go by another name


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_one_version_everywhere() -> None:
    """It stands in `faflow/__init__.py`; the build reads it there, the citation repeats it."""
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"] == {"path": "faflow/__init__.py"}
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [faflow.__version__]


def test_the_changelog_is_in_the_usual_form() -> None:
    """Unreleased, then releases with their days, newest first, none newer than the package."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    first, *releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert first == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", line) for line in releases]
    assert all(dated), releases
    versions = [faflow.__version__, *(match[1] for match in dated if match)]
    assert all(numbers(new) >= numbers(old) for new, old in pairwise(versions))
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= set(KINDS)


def wanted() -> list[str]:
    """What running needs, and the extras that the package itself asks for."""
    extras = PROJECT["optional-dependencies"]
    given = [*PROJECT["dependencies"], *(extras[name] for name in ("data", "zarr", "cluster"))]
    lines = [line for some in given for line in ([some] if isinstance(some, str) else some)]
    return sorted({re.split(r"[\[<>=; ]", line)[0] for line in (*lines, *extras["report"])})


@pytest.mark.parametrize("name", wanted())
def test_what_is_asked_for_is_imported(name: str) -> None:
    module = re.escape(MODULES.get(name, name))
    imported = re.compile(rf'^\s*(import|from) {module}\b|"{module}[."]', re.MULTILINE)
    assert any(imported.search(path.read_text("utf-8")) for path in (ROOT / "faflow").rglob("*.py"))


def read_yaml(path: str) -> dict:
    return pytest.importorskip("yaml").safe_load((ROOT / path).read_text("utf-8"))


def test_the_workflow_checks_every_python_that_is_named() -> None:
    (check,) = read_yaml(".github/workflows/check.yml")["jobs"].values()
    classified = [
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line
    ]
    assert check["strategy"]["matrix"]["python"] == classified
    assert [step["run"] for step in check["steps"] if "run" in step] == [".ci/run"]


def test_nothing_is_published_that_was_not_checked() -> None:
    jobs = read_yaml(".github/workflows/release.yml")["jobs"]
    assert (ROOT / jobs["check"]["uses"]).is_file()
    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("check", "build")
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]


def test_hooks_call_what_is_there() -> None:
    """The tools of .venv, and tests that exist; nothing is fetched."""
    (local,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        program, *arguments = hook["entry"].split()
        assert re.fullmatch(r"\.venv/bin/(ruff|python)", program)
        assert all((ROOT / word).exists() for word in arguments if "/" in word)

"""The house rules of the design, read off the syntax trees of `faflow/**/*.py`.

Each rule is a function from parsed modules to a list of complaints. It is run on the package,
where it must find nothing, and on a few bad lines, where it must find something.
"""

import ast
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from faflow.store.digest import _NO_NUMBERS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "faflow"

# Top-level module -> (floor, room). Imports go to lower floors or stay in the room. A room is a
# row of the table in the design, so the command line may call the plots and the report.
ROOMS = {
    "_types": ("0", "types"),
    "_results": ("0", "types"),
    "_generator": ("0", "types"),
    "_names": ("0", "names"),
    "_numbers": ("0", "types"),
    "_packing": ("0", "types"),
    "_doors": ("0", "doors"),
    "_compiling": ("0", "types"),
    "_programs": ("0", "types"),
    "_described": ("0", "types"),
    "_shelf": ("0", "types"),
    "shipped": ("0", "shipped"),
    "leftovers": ("0", "leftovers"),
    "drawn": ("0", "drawn"),
    "cache": ("0", "cache"),
    "durations": ("0", "cache"),
    "netcdf": ("0", "netcdf"),
    "networks": ("1", "networks"),
    "solvers": ("1", "solvers"),
    "tasks": ("2", "tasks"),
    "feedback": ("2", "feedback"),
    "observables": ("3", "observables"),
    "rules": ("4", "rules"),
    "flow": ("5", "flow"),
    "population": ("5", "population"),
    "wide": ("5", "wide"),
    "analysis": ("6", "analysis"),
    "discovery": ("6", "discovery"),
    "ensembles": ("6", "ensembles"),
    "solved": ("6", "solved"),
    "sensitivity": ("6", "sensitivity"),
    "config": ("7a", "config"),
    "setup": ("7b", "setup"),
    "measures": ("7c", "measures"),
    "store": ("7d", "store"),
    "runs": ("7e", "runs"),
    "sweeps": ("7f", "sweeps"),
    "tools": ("7g", "tools"),
    "plots": ("8", "output"),
    "learning": ("8", "output"),
    "opened": ("8", "output"),
    "__main__": ("8", "output"),
    "cli": ("8", "output"),
    "report": ("8", "output"),
    "compare": ("8", "output"),
    "reproduce": ("8", "output"),
}
OUTPUT_FLOOR = "8"

STACK = frozenset({"jax", "numpy", "equinox", "diffrax", "jaxtyping"})
DATA_SETS = frozenset({"sklearn", "mlxtend"})
STORE = frozenset({"pydantic", "xarray", "h5netcdf", "tomli_w"})
OUTPUT = frozenset({"matplotlib", "tyro", "rich", "tqdm"})
# Beyond the stack; a top-level module that is not named here has the stack alone.
THIRD_PARTY = {
    "config": frozenset({"pydantic", "tomli_w"}),
    "measures": frozenset({"xarray"}),
    "store": frozenset({"filelock", "xarray", "h5netcdf", "tomli_w"}),
    "runs": frozenset({"xarray"}),
    "sweeps": frozenset({"xarray", "h5netcdf", "tomli_w"}),
    "plots": OUTPUT | {"xarray"},
    "cli": OUTPUT | {"argcomplete"},
    "report": OUTPUT | {"jinja2", "markupsafe", "plotly"},
    "reproduce": OUTPUT | {"xarray"},
}
CLUSTER = frozenset({"distributed", "submitit"})
LAZY_THIRD_PARTY = {
    "tasks": DATA_SETS,
    "sweeps": CLUSTER,
    "wide": frozenset({"scipy"}),
    "store": frozenset({"pandas"}),
    "reproduce": frozenset({"scipy"}),
}

MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 300
MAX_MEDIAN_MODULE_LINES = 200
MAX_ROOM_FILES, MAX_ROOM_LINES = 26, 2250

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file: its path relative to the checkout, its text and its syntax tree."""

    path: Path
    source: str
    tree: ast.Module

    @property
    def top(self) -> str:
        """The first name below `faflow`; "" for the package's own `__init__.py`."""
        first = self.path.with_suffix("").parts[1]
        return "" if first == "__init__" else first

    @property
    def package(self) -> list[str]:
        """Where a relative import of one dot starts."""
        return list(self.path.parts[:-1])

    @cached_property
    def nodes(self) -> list[tuple[ast.AST, bool]]:
        """Every node, each with whether it runs only when a function is called."""
        found: list[tuple[ast.AST, bool]] = [(self.tree, False)]
        for node, in_function in found:  # which grows meanwhile
            inside = in_function or isinstance(node, Function | ast.Lambda)
            found += [(child, inside) for child in ast.iter_child_nodes(node)]
        return found

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def parse(path: str | Path, source: str) -> Module:
    return Module(Path(path), source, ast.parse(source))


@cache
def package_modules() -> list[Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [parse(path.relative_to(ROOT), path.read_text("utf-8")) for path in paths]


# ---- imports ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    node: ast.AST
    target: list[str]  # absolute, split at the dots
    lazy: bool  # inside a function


def absolute_names(node: ast.AST, module: Module) -> list[str]:
    """The dotted names that an import statement, or `import_module("...")`, asks for."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=base, names=names, level=level):
            above = module.package[: len(module.package) - level + 1] if level else []
            origin = [*above, *([base] if base else [])]
            return [".".join([*origin, alias.name]) for alias in names]
        case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if last_name(func) in {
            "import_module",
            "__import__",
        }:
            return [name]
    return []


@cache
def imports(module: Module) -> list[Import]:
    return [
        Import(node, name.split("."), lazy)
        for node, lazy in module.nodes
        for name in absolute_names(node, module)
    ]


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`, of `c` and of `c[T]`; "" of anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return last_name(value)
    return ""


def floor_complaints(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        if module.top == "":
            continue  # the front door may open every room
        if module.top not in ROOMS:
            found.append(f"{module.path}: `{module.top}` has no floor: add it to ROOMS")
            continue
        floor, room = ROOMS[module.top]
        for item in imports(module):
            if item.target[0] != "faflow":
                continue
            other = item.target[1] if len(item.target) > 1 else ""
            if other not in ROOMS:
                found.append(f"{module.at(item.node)}: imports the front door, not a room")
                continue
            other_floor, other_room = ROOMS[other]
            if other_floor >= floor and other_room != room:
                found.append(
                    f"{module.at(item.node)}: {room} (floor {floor}) imports"
                    f" {other_room} (floor {other_floor})"
                )
    return found


def third_party_complaints(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        anywhere = STACK | THIRD_PARTY.get(module.top, frozenset())
        lazily = anywhere | LAZY_THIRD_PARTY.get(module.top, frozenset())
        for item in imports(module):
            name = item.target[0]
            if name == "faflow" or name in sys.stdlib_module_names:
                continue
            if name not in (lazily if item.lazy else anywhere):
                where = " outside a function" if name in lazily else ""
                found.append(f"{module.at(item.node)}: {module.top} imports {name}{where}")
    return found


# ---- what code may do where ---------------------------------------------------------------------


def print_complaints(modules: Sequence[Module]) -> list[str]:
    """`print` and `jax.debug.print`, called or handed on, below the floor for output."""
    return [
        f"{module.at(node)}: prints"
        for module in modules
        if ROOMS.get(module.top, ("0", ""))[0] < OUTPUT_FLOOR
        for node, _ in module.nodes
        if isinstance(node, ast.Name | ast.Attribute) and last_name(node) == "print"
    ]


def config_complaints(modules: Sequence[Module]) -> list[str]:
    """jax's global settings changed by importing a module."""

    def changes_config(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(attr="update", value=owner)):
                return last_name(owner) == "config"
            case ast.Attribute(value=owner, ctx=ast.Store()):
                return last_name(owner) == "config"
        return False

    return [
        f"{module.at(node)}: changes jax's configuration on import"
        for module in modules
        for node, in_function in module.nodes
        if not in_function and changes_config(node)
    ]


# ---- classes: abstract or final -----------------------------------------------------------------


def is_abstract_name(name: str) -> bool:
    return name.lstrip("_").startswith("Abstract")


def is_abstract_method(node: ast.AST) -> bool:
    return isinstance(node, Function) and any(
        last_name(decorator).startswith("abstract") for decorator in node.decorator_list
    )


def class_definitions(modules: Sequence[Module]) -> list[tuple[Module, ast.ClassDef]]:
    return [
        (module, node)
        for module in modules
        for node, _ in module.nodes
        if isinstance(node, ast.ClassDef)
    ]


@cache
def original_names(module: Module) -> dict[str, str]:
    """Local name -> name in faflow, of the classes this module defines or imports by name."""
    names = {n.name: n.name for n, _ in module.nodes if isinstance(n, ast.ClassDef)}
    for node, _ in module.nodes:
        if isinstance(node, ast.ImportFrom):
            for alias, target in zip(node.names, absolute_names(node, module), strict=True):
                if target.split(".")[0] == "faflow":
                    names[alias.asname or alias.name] = alias.name
    return names


@cache
def names_outside(module: Module) -> set[str]:
    """The modules that are imported whole and are not faflow's."""
    return {
        alias.asname or alias.name.split(".")[0]
        for statement, _ in module.nodes
        if isinstance(statement, ast.Import)
        for alias in statement.names
        if alias.name.split(".")[0] != "faflow"
    }


def faflow_bases(module: Module, node: ast.ClassDef) -> list[str]:
    """Names of the bases that may be faflow's: by name, or as attributes of an imported module."""
    names, outside = original_names(module), names_outside(module)
    found = []
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        match plain:
            case ast.Name(id=name) if name in names:
                found.append(names[name])
            case ast.Attribute(attr=name):
                root = plain.value
                while isinstance(root, ast.Attribute):
                    root = root.value
                if last_name(root) not in outside:
                    found.append(name)
    return found


def assigned_names(node: ast.ClassDef) -> dict[str, ast.stmt]:
    """What the body of a class defines: methods, fields and class variables."""
    found: dict[str, ast.stmt] = {}
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = statement
            case ast.Assign(targets=targets):
                found |= {last_name(target): statement for target in targets}
    return found


def inheritance_complaints(modules: Sequence[Module]) -> list[str]:
    """A class is abstract (says so in its name) or final, and no concrete method is replaced."""
    classes = class_definitions(modules)
    known: dict[str, list[tuple[Module, ast.ClassDef]]] = {}
    for module, node in classes:
        known.setdefault(node.name, []).append((module, node))

    def ancestors(module: Module, node: ast.ClassDef, seen: frozenset[str]) -> dict[str, list]:
        found: dict[str, list] = {}
        for base in faflow_bases(module, node):
            if base in known and base not in seen:
                found[base] = [definition for _, definition in known[base]]
                for owner, definition in known[base]:
                    found |= ancestors(owner, definition, seen | {base})
        return found

    found = []
    for module, node in classes:
        where = f"{module.at(node)}: {node.name}"
        own = assigned_names(node)
        if not is_abstract_name(node.name) and any(map(is_abstract_method, own.values())):
            found.append(f"{where} has abstract methods but is not named Abstract…")
        for name, definitions in ancestors(module, node, frozenset({node.name})).items():
            if not is_abstract_name(name):
                found.append(f"{where} subclasses {name}, which is final")
            for definition in definitions:
                for method, statement in assigned_names(definition).items():
                    # Equinox runs every `__check_init__` of the hierarchy: none replaces another.
                    if method == "__check_init__" or method not in own:
                        continue
                    if isinstance(statement, Function) and not is_abstract_method(statement):
                        found.append(f"{where} overrides {name}.{method}, which is concrete")
    return found


# ---- annotations --------------------------------------------------------------------------------


UNTYPED = {"rules", "piecewise"}  # not yet; pyproject.toml tells pyright the same


def public_functions(body: Sequence[ast.stmt]) -> Iterator[tuple[Function, bool]]:
    """Functions and methods with a public name, not those inside of functions, each with whether
    its first argument is `self`."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            for inner, _ in public_functions(node.body):
                yield inner, not any(last_name(d) == "staticmethod" for d in inner.decorator_list)
        elif isinstance(node, Function) and (node.name[0] != "_" or node.name == "__call__"):
            yield node, False


def annotation_complaints(modules: Sequence[Module]) -> list[str]:
    """Public functions of the lower floors without the types of their parameters and result."""
    found = []
    for module in modules:
        if ROOMS.get(module.top, (OUTPUT_FLOOR, ""))[0] >= "7" or UNTYPED & {*module.path.parts}:
            continue
        for node, bound in public_functions(module.tree.body):
            of = node.args
            named = [*of.posonlyargs, *of.args][bound:] + of.kwonlyargs
            missing = [
                arg.arg for arg in (*named, of.vararg, of.kwarg) if arg and not arg.annotation
            ]
            if node.returns is None:
                missing.append("the result")
            if missing:
                found.append(f"{module.at(node)}: {node.name} has no type of {', '.join(missing)}")
    return found


# ---- lengths ------------------------------------------------------------------------------------


def function_length(node: Function, lines: Sequence[str]) -> int:
    """Lines from `def` to the end, without blank lines and docstrings (also those inside)."""
    docstring_lines: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, Function | ast.ClassDef) and ast.get_docstring(inner) is not None:
            first = inner.body[0]
            docstring_lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return sum(1 for n in span if n not in docstring_lines and lines[n - 1].strip())


def may_be_long(node: Function, lines: Sequence[str]) -> bool:
    """`# long: <reason>` on the signature, or above it or its decorators."""
    top = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    numbers = {top - 1, node.lineno - 1, *range(node.lineno, node.body[0].lineno), node.lineno}
    return any(re.search(r"#\s*long:\s*\S", lines[n - 1]) for n in numbers if n >= 1)


def function_length_complaints(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        lines = module.source.splitlines()
        for node, _ in module.nodes:
            if isinstance(node, Function) and not may_be_long(node, lines):
                length = function_length(node, lines)
                if length > MAX_FUNCTION_LINES:
                    found.append(f"{module.at(node)}: {node.name} has {length} lines of code")
    return found


def module_length_complaints(modules: Sequence[Module]) -> list[str]:
    # An `__init__.py` only lists names: it would make the median flattering.
    lengths = {
        module.path: len(module.source.splitlines())
        for module in modules
        if module.path.name != "__init__.py"
    }
    found = [f"{path}: {n} lines" for path, n in lengths.items() if n > MAX_MODULE_LINES]
    median = statistics.median(lengths.values()) if lengths else 0
    if median > MAX_MEDIAN_MODULE_LINES:
        found.append(f"the median module has {median} lines")
    return found


# ---- names --------------------------------------------------------------------------------------

# Kinds that are called the same in two registries: how weights are drawn, how feedback is; and the
# flows that have exact solutions from such weights.
KINDS_OF_TWO = frozenset({"Gaussian", "MeanField", "Orthogonal", "LambdaBalanced"})


def name_complaints(modules: Sequence[Module]) -> list[str]:
    """A public function or class at the top of two modules."""
    places: dict[str, list[str]] = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module.at(node))
    return [
        f"`{name}` is defined in {', '.join(where)}"
        for name, where in places.items()
        if len(where) > 1 and name not in KINDS_OF_TWO
    ]


def room_complaints(modules: Sequence[Module]) -> list[str]:
    """A folder that has grown too large to be looked through, its sub-folders not counted."""
    rooms: dict[Path, list[int]] = {}
    for module in modules:
        rooms.setdefault(module.path.parent, []).append(len(module.source.splitlines()))
    return [
        f"{room}: {len(lengths)} files, {sum(lengths)} lines"
        for room, lengths in rooms.items()
        if len(lengths) > MAX_ROOM_FILES or sum(lengths) > MAX_ROOM_LINES
    ]


# ---- the package --------------------------------------------------------------------------------

Check = Callable[[Sequence[Module]], list[str]]
CHECKS: list[Check] = [
    floor_complaints,
    third_party_complaints,
    print_complaints,
    config_complaints,
    inheritance_complaints,
    annotation_complaints,
    function_length_complaints,
    module_length_complaints,
    room_complaints,
    name_complaints,
]


@pytest.mark.parametrize("check", CHECKS)
def test_package_keeps_the_house_rules(check: Check) -> None:
    complaints = check(package_modules())
    assert not complaints, "\n" + "\n".join(complaints)


# ---- the checks can fail ------------------------------------------------------------------------


def lines_of_code(count: int) -> str:
    return "".join(f"    x{n} = {n}\n\n" for n in range(count))


ABSTRACT = "class AbstractA:\n    @abstractmethod\n    def f(self): ...\n    def g(self): ...\n"

BAD: list[tuple[Check, str, str]] = [
    (floor_complaints, "faflow/rules/a.py", "import faflow.flow"),
    (floor_complaints, "faflow/rules/a.py", "from faflow import flow"),
    (floor_complaints, "faflow/rules/a.py", "from ..flow import integrate"),
    (floor_complaints, "faflow/rules/a.py", "from .. import flow"),
    (floor_complaints, "faflow/rules/__init__.py", "from ..flow.solve import integrate"),
    (floor_complaints, "faflow/rules/deep/a.py", "from ...flow import integrate"),
    (floor_complaints, "faflow/rules/a.py", "def f():\n    from ..flow import integrate"),
    (floor_complaints, "faflow/rules/a.py", "if TYPE_CHECKING:\n    from faflow.flow import x"),
    (floor_complaints, "faflow/rules/a.py", "import_module('faflow.flow')"),
    (floor_complaints, "faflow/networks/a.py", "from ..solvers import x"),  # a neighbour
    (floor_complaints, "faflow/analysis/a.py", "from faflow.ensembles import x"),
    (floor_complaints, "faflow/config/a.py", "from faflow import plots"),
    (floor_complaints, "faflow/rules/a.py", "import faflow"),
    (floor_complaints, "faflow/rules/a.py", "from faflow import integrate"),
    (floor_complaints, "faflow/_types.py", "from .networks import x"),
    (floor_complaints, "faflow/attic.py", ""),
    (third_party_complaints, "faflow/flow/a.py", "import scipy.linalg"),
    (third_party_complaints, "faflow/flow/a.py", "def f():\n    from sklearn import datasets"),
    (third_party_complaints, "faflow/tasks/a.py", "from sklearn.datasets import load_digits"),
    (third_party_complaints, "faflow/tasks/a.py", "class A:\n    import mlxtend"),
    (third_party_complaints, "faflow/runs/a.py", "import matplotlib.pyplot as plt"),
    (third_party_complaints, "faflow/analysis/a.py", "import xarray as xr"),
    (third_party_complaints, "faflow/cli/a.py", "def f():\n    import pydantic"),
    (third_party_complaints, "faflow/report/a.py", "import xarray"),
    (third_party_complaints, "faflow/__init__.py", "import matplotlib"),
    (print_complaints, "faflow/runs/a.py", "print('x')"),
    (print_complaints, "faflow/flow/a.py", "def f():\n    jax.debug.print('x')"),
    (print_complaints, "faflow/flow/a.py", "jax.debug.callback(print, 1)"),
    (config_complaints, "faflow/cli/a.py", "jax.config.update('jax_enable_x64', True)"),
    (config_complaints, "faflow/_types.py", "if x:\n    config.update('jax_enable_x64', True)"),
    (config_complaints, "faflow/_types.py", "class A:\n    jax.config.jax_enable_x64 = True"),
    (inheritance_complaints, "faflow/a.py", "class A: ...\nclass B(A): ..."),
    (inheritance_complaints, "faflow/a.py", "class A: ...\nclass AbstractB(A[int]): ..."),
    (inheritance_complaints, "faflow/a.py", ABSTRACT + "class B(AbstractA):\n    def g(self): ..."),
    (inheritance_complaints, "faflow/a.py", ABSTRACT + "class B(AbstractA):\n    g: int"),
    (inheritance_complaints, "faflow/a.py", ABSTRACT + "class B(AbstractA):\n    g = h"),
    (
        inheritance_complaints,
        "faflow/a.py",
        ABSTRACT + "class AbstractB(AbstractA): ...\nclass C(AbstractB):\n    def g(self): ...",
    ),
    (inheritance_complaints, "faflow/a.py", ABSTRACT.replace("AbstractA", "A")),
    (annotation_complaints, "faflow/tasks/a.py", "def f(x) -> int: ..."),
    (annotation_complaints, "faflow/tasks/a.py", "def f(x: int): ..."),
    (annotation_complaints, "faflow/tasks/a.py", "def f(*, x) -> int: ..."),
    (annotation_complaints, "faflow/tasks/a.py", "def f(*x: int, **more) -> int: ..."),
    (annotation_complaints, "faflow/tasks/a.py", "class A:\n    def __call__(self, x) -> int: ..."),
    (annotation_complaints, "faflow/_names.py", "class _A:\n    def f(self): ..."),
    (function_length_complaints, "faflow/a.py", "def f():\n" + lines_of_code(60)),
    (function_length_complaints, "faflow/a.py", "# long:\ndef f():\n" + lines_of_code(60)),
    (module_length_complaints, "faflow/a.py", "x = 1\n" * 301),
    (room_complaints, "faflow/rules/a.py", "x = 1\n" * 2251),
    (name_complaints, "faflow/a.py", "def f(): ...\ndef f(): ..."),
    (name_complaints, "faflow/a.py", "class f: ...\ndef f(): ..."),
    (module_length_complaints, "faflow/a.py", "x = 1\n" * 201),  # the median of one
]

GOOD: list[tuple[Check, str, str]] = [
    (floor_complaints, "faflow/__init__.py", "from .cli import main\nfrom .flow import x"),
    (floor_complaints, "faflow/rules/a.py", "from ..networks import x\nfrom . import b\n"),
    (floor_complaints, "faflow/rules/__init__.py", "from .gradient import x\nimport faflow._types"),
    (floor_complaints, "faflow/cli/a.py", "from faflow import runs, plots"),
    (floor_complaints, "faflow/_results.py", "from ._types import x"),
    (third_party_complaints, "faflow/tasks/a.py", "def f():\n    import sklearn.datasets"),
    (third_party_complaints, "faflow/flow/a.py", "import os.path, jax.numpy as jnp, diffrax"),
    (third_party_complaints, "faflow/plots/a.py", "import matplotlib, xarray"),
    (third_party_complaints, "faflow/config/a.py", "import pydantic, tomli_w"),
    (print_complaints, "faflow/cli/a.py", "print('x')"),
    (config_complaints, "faflow/cli/a.py", "def f():\n    config.update('jax_enable_x64', True)"),
    (inheritance_complaints, "faflow/a.py", ABSTRACT + "class B(AbstractA):\n    def f(self): ..."),
    (inheritance_complaints, "faflow/a.py", "class A: ...\nimport m\nclass B(m.A): ..."),
    (
        inheritance_complaints,
        "faflow/a.py",
        "class AbstractA:\n    def __check_init__(self): ...\n"
        "class B(AbstractA):\n    def __check_init__(self): ...",
    ),
    (
        annotation_complaints,
        "faflow/tasks/a.py",
        "def f(x: int, *, y: int) -> int:\n    def g(z): ...",
    ),
    (annotation_complaints, "faflow/tasks/a.py", "class A:\n    def f(self) -> int: ..."),
    (annotation_complaints, "faflow/tasks/a.py", "def _f(x): ..."),
    (annotation_complaints, "faflow/runs/a.py", "def f(x): ..."),
    (function_length_complaints, "faflow/a.py", "def f():\n" + lines_of_code(59)),
    (
        function_length_complaints,
        "faflow/a.py",
        "def f():\n    '''A\n\n    long\n    story.\n    '''\n" + lines_of_code(59),
    ),
    (function_length_complaints, "faflow/a.py", "# long: a table\ndef f():\n" + lines_of_code(60)),
    (
        function_length_complaints,
        "faflow/a.py",
        "# long: a table\n@jit\ndef f():\n" + lines_of_code(60),
    ),
    (
        function_length_complaints,
        "faflow/a.py",
        "def f(\n    x,\n):  # long: a table\n" + lines_of_code(60),
    ),
    (module_length_complaints, "faflow/__init__.py", "x = 1\n" * 201),
    (room_complaints, "faflow/rules/a.py", "x = 1\n" * 2250),
    (name_complaints, "faflow/a.py", "def _f(): ...\nclass A:\n    def g(self): ...\ndef g(): ..."),
    (name_complaints, "faflow/a.py", "def f():\n    def g(): ...\ndef g(): ..."),
]


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_check_complains(check: Check, path: str, source: str) -> None:
    assert check([parse(path, source)])


@pytest.mark.parametrize(("check", "path", "source"), GOOD)
def test_check_is_content(check: Check, path: str, source: str) -> None:
    assert check([parse(path, source)]) == []


def test_a_public_name_has_one_place() -> None:
    def complaints(first: str, second: str) -> list[str]:
        return name_complaints([parse("faflow/a.py", first), parse("faflow/b/c.py", second)])

    for twice in ("def f(): ...", "class F: ...", "async def f(): ...\nx = 1"):
        assert complaints(twice, twice.replace("async ", ""))
    for first, second in (
        ("def _f(): ...", "def _f(): ..."),
        ("def f(): ...", "from ..a import f as f"),
        ("def f(): ...", "class A:\n    def f(self): ..."),
        ("def f(): ...", "def g():\n    def f(): ..."),
        ("class Gaussian: ...", "class Gaussian: ..."),
    ):
        assert not complaints(first, second)


@pytest.mark.parametrize(
    ("statement", "base", "is_ours"),
    [
        ("from .a import A", "A", True),
        ("from faflow.x import A as Z", "Z", True),
        ("from . import a", "a.A", True),
        ("import faflow.x.a", "faflow.x.a.A", True),
        ("import m", "m.A", False),
        ("from m import A", "A", False),
    ],
)
def test_final_class_is_known_in_other_modules(statement: str, base: str, is_ours: bool) -> None:
    modules = [
        parse("faflow/x/a.py", "class A: ..."),
        parse("faflow/x/b.py", f"{statement}\nclass B({base}): ..."),
    ]
    assert bool(inheritance_complaints(modules)) == is_ours


# ---- importing and asking for help stay light ---------------------------------------------------

HEAVY = {"jax", "jaxlib", "matplotlib", "xarray", "pandas", "pydantic", "pydantic_core"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the checkout, without this session's jax settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def imported_by(*arguments: str) -> set[str]:
    """First names of all modules that a fresh interpreter imports while it runs to the end."""
    return set().union(*imported_in_turn(*arguments))


def imported_in_turn(*arguments: str) -> list[set[str]]:
    """The same, apart for what comes before a line `then` on stderr and what comes after it."""
    return in_turn(python("-X", "importtime", *arguments))


def in_turn(done: subprocess.CompletedProcess[str]) -> list[set[str]]:
    assert done.returncode == 0, done.stderr[-2000:]
    pattern = re.compile(r"^import time:[^|]*\|[^|]*\|\s*([\w.]+)", re.MULTILINE)
    parts = done.stderr.split("\nthen\n")
    return [{name.split(".")[0] for name in pattern.findall(part)} for part in parts]


def test_imported_by_sees_imports() -> None:
    assert {"json", "tomllib"} <= imported_by("-c", "import json\ndef f(): import tomllib\nf()")
    words = "import sys, json\nprint('then', file=sys.stderr)\nimport tomllib"
    before, after = imported_in_turn("-c", words)
    assert "json" in before and "tomllib" not in before and "tomllib" in after


needs_front_door = pytest.mark.skipif(
    not (PACKAGE / "__init__.py").exists(), reason="faflow/__init__.py is not there yet"
)
needs_cli = pytest.mark.skipif(not (PACKAGE / "cli").exists(), reason="faflow/cli is not there yet")


@needs_front_door
def test_import_is_light() -> None:
    assert not HEAVY & imported_by("-c", "import faflow")


@needs_front_door
@needs_cli
def test_help_is_light() -> None:
    assert not HEAVY & imported_by("-m", "faflow.cli", "--help")


POSIX_ONLY = ("curses", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios")
# All of faflow in one process, for each takes seconds to import JAX: what a run needs, then the
# first use of xarray, then the rest, without some modules; and what became of the settings of JAX.
WITHOUT = """
import gc, importlib, pkgutil, sys
gc.disable()
sys.modules |= dict.fromkeys(sys.argv[1].split())
import jax
before = dict(jax.config.values)
import faflow.runs.run
print('then', file=sys.stderr)
from faflow.measures.variables.datasets import xr
xr.Dataset
print('then', file=sys.stderr)
[getattr(faflow, name) for name in dir(faflow)]
for module in pkgutil.walk_packages(faflow.__path__, "faflow."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(jax.config.jax_enable_x64)
print({k for k, v in jax.config.values.items() if k in before and v != before[k]} or "none")
"""


@pytest.fixture(scope="module")
def imported() -> subprocess.CompletedProcess[str]:
    return python("-X", "importtime", "-c", WITHOUT, " ".join(POSIX_ONLY))


@needs_front_door
def test_runs_wait_with_xarray_until_there_is_something_to_store(imported) -> None:
    before, first_use, _ = in_turn(imported)
    assert not {"pandas", "matplotlib"} & before
    assert "pandas" in first_use  # control


@needs_front_door
def test_import_leaves_jax_settings_alone(imported) -> None:
    """Of the package and its names, and of every module."""
    assert imported.returncode == 0, imported.stderr[-2000:]
    x64, changed = imported.stdout.splitlines()
    assert x64 == "False"
    assert changed == "none"


@needs_front_door
def test_nothing_needs_what_only_posix_has(imported) -> None:
    assert imported.returncode == 0, imported.stderr[-2000:]
    words = "import sys; sys.modules['json'] = None; import faflow.durations"
    assert "faflow/durations.py" in python("-c", words).stderr  # control


def test_what_only_draws_and_prints_is_no_part_of_a_result_s_hash() -> None:
    """Or a word in a help text would make every stored result one of another faflow."""
    output = {name for name, (floor, _) in ROOMS.items() if floor == OUTPUT_FLOOR}
    assert output <= {name.removesuffix(".py") for name in _NO_NUMBERS}

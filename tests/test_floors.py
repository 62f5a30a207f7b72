"""A module imports from no floor above its own and in no circle, so that each can be read alone."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    path.relative_to(ROOT).as_posix(): path for path in (ROOT / "openrouter_async").rglob("*.py")
}

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
FLOORS = {
    module: int(floor)
    for floor, modules in re.findall(r"^\| (\d) [^|]*\| (.*) \|$", CONTRIBUTING, re.MULTILINE)
    for module in re.findall(r"`(\w+)`", modules)
}
TOP = 5  # what the package itself exports: for faces
FACES = 6
TOWER = "sandbox"  # reads floors 0 and 1; only faces use it


def test_every_module_has_a_floor() -> None:
    """A module that nobody put on a floor fails by name."""
    assert {area(path) for path in MODULES.values()} - FLOORS.keys() <= {TOWER, "__init__"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    """An import from a floor above fails."""
    path = MODULES[module]
    wrong = [f"line {line}: {name}" for line, name in imports(path) if not may(area(path), name)]
    assert not wrong, "\n".join(wrong)


def test_no_circles() -> None:
    """Modules that import each other, now or later, would have to be read as one."""
    graph = {name_of(path): set(dependencies(path)) for path in MODULES.values()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def dependencies(path: Path) -> Iterator[str]:
    """The modules of ours that a module needs at run time, in functions too."""
    known = {name_of(each) for each in MODULES.values()}
    tree = ast.parse(path.read_text("utf-8"))
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            block.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in known else node.module or ""
                if target in known and target != name_of(path):
                    yield target


def may(importer: str, imported: str) -> bool:
    """Whether a module of the one area may import from the other."""
    if importer in (imported, "__init__"):
        return True
    if importer == TOWER:
        return FLOORS.get(imported, TOP) <= 1
    if imported == TOWER:
        return FLOORS[importer] == FACES
    above, below = FLOORS[importer], FLOORS.get(imported, TOP)
    return above > below or (above == below and imported in FLOORS)


def area(path: Path) -> str:
    """The module's first name below the package: its own, or its folder's."""
    return path.relative_to(ROOT / "openrouter_async").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and area of every import of ours, in functions and type-checking blocks too."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, inner = name.partition(".")
            if root == "openrouter_async":
                yield node.lineno, inner.split(".")[0]

"""Tests that imports inside the package point one way: no cycles, and no import of a higher layer by a lower one."""

import ast
import graphlib
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in (ROOT / "pose_tf").rglob("*.py")}


def imports(name):
    """The modules of the package that a module imports, including imports inside functions."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member if member in PATHS else node.module for member in members}
    return (found & set(PATHS)) - {name, "pose_tf"}


def test_no_modules_import_each_other():
    list(graphlib.TopologicalSorter({name: imports(name) for name in PATHS}).static_order())


COMMANDS_OF_STARTER = {f"pose_tf.starter.{name}" for name in ("clean", "pack", "pack_finder")}


def floor_plan():
    """{package or module: number of its line} in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (plan,) = re.findall(r"^    pose_tf/\n((?:      .*\n)+)", text, re.MULTILINE)
    lines = [re.findall(r"(\w+)(?:/|\.py)(?= )", line) for line in plan.splitlines()]
    return {name: number for number, names in enumerate(lines) for name in names}


def test_every_import_leads_to_the_same_line_of_the_floor_plan_or_up():
    plan = floor_plan()
    for name in PATHS.keys() - {"pose_tf"}:
        line = plan["cli" if name in COMMANDS_OF_STARTER else name.split(".")[1]]
        for other in imports(name):
            assert other not in COMMANDS_OF_STARTER and plan[other.split(".")[1]] <= line, f"{name} imports {other}"


def test_data_neither_draws_nor_needs_synthetic_people():
    for name in PATHS:
        if name.startswith("pose_tf.data"):
            upper = {other for other in imports(name) if other.startswith(("pose_tf.viz", "pose_tf.synthetic"))}
            assert not upper, name

"""What the documents tell to type: files that exist, flags that tools have, keys and values that recipes may have."""

import ast
import pathlib
import re
import subprocess

import ml_collections
import pytest

from pose_tf.training.recipe import check_values, flatten
from tests.training.test_trainer import RECIPES, recipe

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "BUILD.md"]
PROGRAMS = sorted([*(ROOT / "pose_tf" / "cli").glob("[a-z]*.py"), *(ROOT / "benchmarks").glob("*.py")])
RECIPE_FILES = [ROOT / "configs" / f"{name}.py" for name in RECIPES]
COMMAND = re.compile(
    r"(?:^|[ (`])(?:\S*/)?(?:python (?P<script>(?:tools|benchmarks)/\w+\.py)|pose-tf (?P<command>[a-z-]*[a-z]))"
    r"(?P<flags>(?: [^`\n]*)?)",
    re.MULTILINE,
)
ABSL = {"help", "flagfile"}


def texts():
    """(where, text) of the documents and of the docstrings of commands, benchmarks and recipes."""
    for path in DOCUMENTS:
        yield path.name, path.read_text()
    for path in PROGRAMS + RECIPE_FILES:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        yield str(path.relative_to(ROOT)), docstring or ""


def commands():
    """(where, program, flags) of everything that runs a command, a tool or a benchmark."""
    for where, text in texts():
        for match in COMMAND.finditer(re.sub(r"\s*\\\n\s*", " ", text)):
            command = re.sub(r"  +.*|[…)].*", "", match["flags"].strip())
            program = match["script"] or module_of(match["command"])
            yield where, program, [flag.strip('"') for flag in re.findall(r'"--[^"]*"|--[^\s"\]]+', command)]


def module_of(command):
    return f"pose_tf/cli/{command.replace('-', '_')}.py"


def defined_flags(program):
    """Names of the flags that a program defines, alone or with others."""
    source = (ROOT / program).read_text()
    if command := re.search(r'_checkout\.run\("(.*)"\)', source):
        return defined_flags(module_of(command[1]))
    if "import _photos" in source:
        source += (ROOT / "pose_tf/cli/_photos.py").read_text()
    shared = {"config" if name == "recipe" else name for name in re.findall(r"_flags\.(\w+)\(", source)}
    return shared | set(re.findall(r"""(?:DEFINE_\w+|add_argument)\(\s*["'](?:--)?(\w+)["']""", source)) | ABSL


@pytest.mark.parametrize(("where", "program", "flags"), commands(), ids=lambda value: str(value)[:60])
def test_every_command_has_a_program_and_flags_that_exist(where, program, flags):
    assert (ROOT / program).is_file()
    known = defined_flags(program)
    for flag in (flag for flag in flags if flag.startswith("--")):
        name = flag[2:].split("=")[0]
        assert name.split(".")[0] in known or name.removeprefix("no") in known, f"{where}: {program} has no {flag}"
    configs = [flag.removeprefix("--config=") for flag in flags if flag.startswith("--config=")]
    configs = [config for config in configs if not config.startswith("configs/X")]
    assert all(config in RECIPES or (ROOT / config).is_file() for config in configs)
    overrides = [flag.removeprefix("--config.") for flag in flags if flag.startswith("--config.")]
    if configs and overrides:
        check_values(overridden(configs[0].removeprefix("configs/").removesuffix(".py"), overrides))


def overridden(name, overrides):
    config = ml_collections.ConfigDict(recipe(name))
    for key, value in (override.split("=", 1) for override in overrides):
        *sections, last = key.split(".")
        where = config
        for section in sections:
            where = where[section]
        kind = type(where[last])
        where[last] = ast.literal_eval(value) if kind is tuple else kind(value) if kind is not bool else value == "True"
    return config


def test_every_override_in_the_documents_is_a_key_of_some_recipe():
    keys = {key for name in RECIPES for key in flatten(recipe(name).to_dict())}
    for where, text in texts():
        for key in re.findall(r"--config\.([\w.]*\w)", text):
            assert key in keys or key == "section.key", f"{where}: no recipe has config.{key}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    def anchors(document):
        headings = re.findall(r"^#+ (.*)", document.read_text(), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        document = path.parent / name if name else path
        assert document.exists(), target
        assert not anchor or anchor in anchors(document), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_the_documents_name_exist(path):
    for name in re.findall(r"`((?:configs|tools|tests|benchmarks|pose_tf|deploy|docs)/[\w./]*\w)`", path.read_text()):
        assert (ROOT / name).exists(), name


def test_the_python_of_the_readme_runs():
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(block.replace("width=32", "width=4"), names)
    assert {key: value.shape for key, value in names["poses"].items()} == {
        "pose2d": (1, 17, 2),
        "pose3d": (1, 17, 3),
        "confidence": (1, 17),
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_shell_commands_are_well_formed(path):
    """As bash parses them: a value with parentheses needs quotes."""
    words = "python|tools/|docker|curl|tensorboard|export|pip|{ printf|\\S*\\.venv\\S*/bin/"
    for block in re.findall(rf"^ {{4,}}(?:{words}).*\n(?: {{4,}}\S.*\n)*", path.read_text(), re.MULTILINE):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}{done.stderr}"
    for inline in re.findall(r"`(--[^`]*)`", path.read_text()):
        done = subprocess.run(["bash", "-n"], input=f"true {inline.replace('…', '')}", capture_output=True, text=True)
        assert done.returncode == 0, f"{inline}: {done.stderr}"

"""Tests of the documents: files, flags, recipe keys, values and versions exist; links resolve; examples run."""

import ast
import importlib.metadata
import json
import pathlib
import re
import shutil
import subprocess
import sys

import ml_collections
import numpy as np
import pytest
import tensorflow as tf
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import pose_tf
from pose_tf.predict.model import PoseModel
from pose_tf.serving.client import Client
from pose_tf.training.recipe import check_values, flatten
from tests.serving.prediction_service import PredictionService
from tests.training.recipes import RECIPES, recipe

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
PROGRAMS = sorted([*(ROOT / "pose_tf" / "cli").glob("[a-z]*.py"), *(ROOT / "benchmarks").glob("*.py")])
PROGRAMS += [ROOT / "pose_tf" / "starter" / name for name in ("clean.py", "pack.py", "pack_finder.py")]
RECIPE_FILES = [ROOT / "configs" / f"{name}.py" for name in RECIPES]
COMMAND = re.compile(
    r"(?:^|[ (`])(?:\S*/)?(?:python (?P<script>(?:tools|benchmarks)/\w+\.py)|python -m (?P<module>pose_tf\.[\w.]+)|"
    r"pose-tf (?P<command>[a-z][a-z-]*[a-z]))"
    r"(?P<flags>(?: [^`\n]*)?)",
    re.MULTILINE,
)
ABSL = {"help", "flagfile"}


def texts():
    """(place, text) for each document and each docstring of a command, benchmark or recipe."""
    for path in DOCUMENTS:
        yield path.name, path.read_text()
    for path in PROGRAMS + RECIPE_FILES:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        yield str(path.relative_to(ROOT)), docstring or ""


def commands():
    """(place, program, flags) for each line that runs a command, a tool or a benchmark."""
    for where, text in texts():
        for match in COMMAND.finditer(re.sub(r"\s*\\\n\s*", " ", text)):
            command = re.sub(r"  +.*| -- .*|….*|\)(?!\").*", "", match["flags"].strip())
            program = match["script"] or program_of(match["module"], match["command"])
            yield where, program, [flag.strip('"') for flag in re.findall(r'"--[^"]*"|--[^\s"\]]+', command)]


def program_of(module, command):
    return f"{module.replace('.', '/')}.py" if module else f"pose_tf/cli/{command.replace('-', '_')}.py"


def defined_flags(program):
    """Names of the flags that a program and the modules beside it define, without dashes."""
    source = (ROOT / program).read_text()
    if command := re.search(r'_checkout\.run\("(.*)"\)', source):
        return defined_flags(program_of(None, command[1]))
    for name in re.findall(r"^(?:import|from) (\w+)|import (_photos)", source, re.MULTILINE):
        if (path := (ROOT / program).with_name(f"{''.join(name)}.py")).exists():
            source += path.read_text()
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


def pins(name, with_what_they_need=True):
    """Packages in a file of requirements and their versions; None stands for one that is not pinned."""
    text = (ROOT / name).read_text()
    if not with_what_they_need:
        text = re.split("# What (?:the above|it) brings? along", text)[0]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name): (re.findall(r"==(\S+)$", line) or [None])[0] for line in lines}


def latest():
    return not tf.__version__.startswith("2.15.")


def test_every_package_that_is_installed_is_pinned():
    pinned = pins("requirements-latest.txt" if latest() else "requirements.txt")
    open_ends, seen = [(name, "") for name in pinned], set()
    while open_ends:
        name, extra = open_ends.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        distribution = importlib.metadata.distribution(name)
        assert pinned[name] == distribution.version, name
        for needed in map(Requirement, distribution.requires or ()):
            if not needed.marker or needed.marker.evaluate({"extra": extra}):
                package = canonicalize_name(needed.name)
                assert package in pinned, f"{name} needs {package}"
                open_ends += [(package, extra) for extra in ("", *needed.extras)]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-latest.txt", "requirements-beam.txt"])
def test_every_dependency_has_its_reason_and_its_version_in_the_build_notes(name):
    table = (ROOT / "BUILD.md").read_text().partition("## Dependencies")[2]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    versions = {}
    for packages, reason in rows:
        assert reason
        for package in re.findall("`(.*?)`", packages):
            versions[canonicalize_name(package)] = re.findall(r"\d+(?:\.\d+)+", packages)
    for package, version in pins(name, with_what_they_need=False).items():
        assert package in versions, package
        assert version in (versions[package] or [version]), package


def test_the_build_notes_have_the_versions_of_both_installations():
    text = (ROOT / "BUILD.md").read_text()
    rows = {key: cells for key, *cells in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", text, re.M)}
    versions = [pins(f"requirements{part}.txt") for part in ("", "-latest")]
    assert rows["TensorFlow"][0] == f"{versions[0]['tensorflow']}, with Addons {versions[0]['tensorflow-addons'][:4]}"
    assert rows["TensorFlow"][1] == f"{versions[1]['tensorflow']}, without Addons"
    assert "tensorflow-addons" not in versions[1]
    assert rows["Keras 2, which the models are written for"][1] == f"tf_keras {versions[1]['tf-keras']}"
    assert rows["NumPy"] == [".".join(one["numpy"].split(".")[:2]) for one in versions]
    built = tf.sysconfig.get_build_info()
    capabilities = [number.split("_")[1] for number in built["cuda_compute_capabilities"]]
    assert rows["compiled for compute capability"][latest()] == ", ".join(
        f"{one[:-1]}.{one[-1]}" for one in capabilities
    )
    assert rows["CUDA and cuDNN"][latest()].startswith(re.match(r"\d+\.\d+", built["cuda_version"])[0])
    assert re.search(rf"\b{built['cudnn_version']}\b", rows["CUDA and cuDNN"][latest()])
    command = r'python -m pip install "tensorflow\[and-cuda\]==(.*?)"'
    assert re.findall(command, text) == [one["tensorflow"] for one in versions]


def test_the_signatures_are_those_of_the_page_about_serving(exported):
    text = (ROOT / "docs" / "serving.md").read_text()
    rows = {name: rest for name, rest in re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.M) if "[" in rest}
    signatures = tf.saved_model.load(exported).signatures
    assert rows.keys() == signatures.keys()
    for name, signature in signatures.items():
        specs = signature.structured_input_signature[1]
        listed = re.findall(r"`(\w+)` (\w+) \[([\w,]+)\]", rows[name])
        assert {key: kind for key, kind, _ in listed} == {key: spec.dtype.name for key, spec in specs.items()}
        for key, _, shape in listed:
            expected = [None if size.isalpha() else int(size) for size in shape.split(",")]
            assert specs[key].shape.as_list() == expected, (name, key)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_curl_commands_of_the_page_about_serving_are_answered(exported, in_a_folder_with_a_photo):
    text = (ROOT / "docs" / "serving.md").read_text()
    state, predict = re.findall(r"^ {4}((?:curl|\{ printf).*\n(?: {4,}.*\n)*)", text, re.M)
    with PredictionService(exported) as service:
        answers = []
        for command in (state, predict):
            command = re.sub("http://localhost:8501", service.rest, command).replace("curl ", "curl --silent ")
            done = subprocess.run(["bash", "-e", "-c", command], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            answers.append(json.loads(done.stdout))
    assert answers[0]["model_version_status"][0]["state"] == "AVAILABLE"
    outputs = answers[1]["outputs"]
    assert {name: np.shape(value) for name, value in outputs.items()} == {
        "pose2d": (1, 17, 2),
        "pose3d": (1, 17, 3),
        "confidence": (1, 17),
    }


def python_of(document):
    (block,) = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture
def in_a_folder_with_a_photo(tmp_path, monkeypatch):
    Image.fromarray(np.full((480, 640, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)


def test_the_python_of_the_readme_and_of_prediction_runs(exported, in_a_folder_with_a_photo, monkeypatch):
    pathlib.Path("quickstart").mkdir()
    pathlib.Path("quickstart/model").symlink_to(pathlib.Path(exported).parent)
    monkeypatch.setattr("pose_tf.predict.model.find_people", lambda image, _: (np.float32([[200, 100, 90, 200]]), [1]))
    names = {}
    for document in (ROOT / "README.md", ROOT / "docs" / "predict.md"):
        exec(python_of(document), names)
        person = names.pop("person")
        assert [part.shape for part in (person.box, person.pose2d, person.pose3d, person.confidence)] == [
            *((4,), (17, 2), (17, 3), (17,))
        ]


def test_the_python_for_a_server_runs(exported, in_a_folder_with_a_photo):
    with PredictionService(exported) as service:
        PoseModel(Client(service.grpc, timeout_s=120)).people("photo.jpg", [[310, 80, 140, 390]])  # the first is slow
        block = python_of(ROOT / "docs" / "serving.md")
        assert "localhost:8500" in block
        names = {}
        exec(block.replace("localhost:8500", service.grpc), names)
    assert names["people"][0].pose3d.shape == (17, 3)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_shell_commands_are_well_formed(path):
    """Checks command lines as bash parses them: a value with parentheses needs quotes."""
    words = "python |pose-tf |tools/\\w+\\.sh|docker |curl |tensorboard |export |pip |{ printf|\\S*\\.venv\\S*/bin/"
    for block in re.findall(rf"^ {{4,}}(?:{words}).*\n(?: {{4,}}\S.*\n)*", path.read_text(), re.MULTILINE):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}{done.stderr}"
    for inline in re.findall(r"`(--[^`]*)`", path.read_text()):
        done = subprocess.run(["bash", "-n"], input=f"true {inline.replace('…', '')}", capture_output=True, text=True)
        assert done.returncode == 0, f"{inline}: {done.stderr}"


def test_the_reference_is_made_from_the_docstrings_without_a_warning(tmp_path):
    command = [sys.executable, ROOT / "docs" / "reference.py", f"--output_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == f"API reference: {tmp_path}/index.html\n"
    page = (tmp_path / "pose_tf.html").read_text()
    for name in pose_tf.__all__:
        assert f'id="{name}"' in page or f"pose_tf/{name}.html" in page, name
    assert "uint8 [H, W, 3] RGB" in (tmp_path / "pose_tf" / "predict" / "model.html").read_text()


def test_parts_of_tensorflow_that_may_break_are_used_where_the_table_says():
    sources = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "pose_tf").rglob("*.py")}
    _, section = (ROOT / "docs" / "architecture.md").read_text().split("## What breaks first")
    checked = set()
    for row in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
        what, where, _ = row.split(" | ")
        parts = set(re.findall(r"`([\w.]+)`", what))
        places = [pathlib.Path(place) for place in re.findall(r"`([^`]+)`", where)]
        places = [place if place.parts[0] == "pose_tf" else places[0].parent / place for place in places]
        users = [path for path, source in sources.items() if any(part in source for part in parts)]
        if parts:
            assert all(any(path.is_relative_to(place) for place in places) for path in users), f"{users} use {what}"
            assert all(any(path.is_relative_to(place) for path in users) for place in places), (
                f"{what} is not in {where}"
            )
        checked |= parts
    assert {"tf_keras", "tf.raw_ops", "tf.compat.v1", "tensorflow.python", "tensorflow_addons"} <= checked


def test_the_fast_tests_cover_every_package():
    listed = [line for line in (ROOT / "tests" / "fast.txt").read_text().splitlines() if not line.startswith("#")]
    files = [name.split("::")[0] for name in listed]
    assert all((ROOT / name).is_file() for name in files)
    packages = {path.parent.name for path in (ROOT / "pose_tf").glob("*/__init__.py")} - {"configs"}
    assert packages <= {pathlib.Path(name).parent.name for name in files}

r"""Trains and measures what docs/accuracy.md compares, several seeds of each.

    python benchmarks/accuracy.py --part=poses --poses=CMU.npz --workdir=W
    python benchmarks/accuracy.py --part=images --poses=POSES.npz --data_dir=DATA --test_dir=TEST --workdir=W \
        --detector=runs/detector
    python benchmarks/accuracy.py --part=images --workdir=W --only_print

The first trains SemGCN on motion capture and measures it on subjects that it has not seen; the second trains it for a
detector, whose joints in held-out images it writes down first, and measures it on the images in TEST.
docs/accuracy.md has the command that trains the detector.

Runs resume where they were interrupted. Several processes may share a workdir: each takes the next run that no other
works on.
"""

import contextlib
import fcntl
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags

from pose_tf import cli
from pose_tf.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
_PART = flags.DEFINE_enum("part", None, ["poses", "images"], "The table to make.", required=True)
_POSES = flags.DEFINE_string("poses", None, "Pose file to train on (.npz).")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with the records that the detector was trained on.")
_TEST_DIR = flags.DEFINE_string("test_dir", None, "Directory with the records of the test images.")
_DETECTOR = flags.DEFINE_string("detector", None, "Workdir of the detector.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory for the runs and their reports.", required=True)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds of each row.", lower_bound=1)
_ROWS = flags.DEFINE_list("rows", [], "Rows to make; all by default.")
_ONLY_PRINT = flags.DEFINE_bool("only_print", False, "Print the table of the runs that are done, and train nothing.")

PLAIN = {"model.non_local": False, "frame": "camera", "optimizer.learning_rate": 1e-3}
ERRORS = {"augment.errors": "", "augment.similar_errors": 16, "augment.noise_px": 1.0}  # the file: see `main`
CONFIDENCE = ERRORS | {"model.confidence": True}
ROWS = {
    "poses": {
        "plain": PLAIN,
        "bone length": PLAIN | {"bones.length": 1.0},
        "bone symmetry": PLAIN | {"bones.symmetry": 1.0},
        "bone direction": PLAIN | {"bones.direction": 1.0},
        "non-local": {"frame": "camera", "optimizer.learning_rate": 1e-3},
        "non-local 4e-3": {"frame": "camera"},
        "line of sight": {},
    },
    "images": {
        "true joints": {},
        "errors": ERRORS,
        "confidence": CONFIDENCE,
        "bone length": CONFIDENCE | {"bones.length": 1.0},
        "bone symmetry": CONFIDENCE | {"bones.symmetry": 1.0},
        "bone direction": CONFIDENCE | {"bones.direction": 1.0},
    },
}
"""What differs from the recipe in each row."""
COMMON = {
    "poses": {"data.validation_subjects": "(9,10,11)"},
    "images": {
        "data.validation_subjects": "(108,)",
        "data.batch_size": 128,
        "train.epochs": 6.0,
        "train.validate_every_epochs": 6.0,
    },
}
INPUTS = {"poses": ["poses"], "images": ["poses", "data_dir", "test_dir", "detector"]}
COLUMNS = {
    "poses": {
        "MPJPE": ("true_2d", "mpjpe"),
        "PA-MPJPE": ("true_2d", "pa_mpjpe"),
        "bones": ("true_2d", "bone_length_error"),
        "left/right": ("true_2d", "bone_symmetry_error"),
    },
    "images": {
        "MPJPE": ("detected_2d", "mpjpe"),
        "PA-MPJPE": ("detected_2d", "pa_mpjpe"),
        "PA-MPJPE from true 2D": ("true_2d", "pa_mpjpe"),
        "left/right": ("detected_2d", "bone_symmetry_error"),
    },
}
"""The part of the report and the metric of each column."""


def run(*arguments):
    """Runs a command of pose-tf."""
    subprocess.run([sys.executable, "-m", "pose_tf.cli", *arguments], cwd=ROOT, check=True)


@contextlib.contextmanager
def lock(path, wait=True):
    """Holds the lock of a file, which ends with the process at the latest; yields whether it could be had."""
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def detect(workdir):
    """Writes down what the detector finds in the images that it was not trained on, and in the test images."""
    paths = {"held_out": [f"--data_dir={_DATA_DIR.value}", "--held_out"], "test": [f"--data_dir={_TEST_DIR.value}"]}
    for name, data in paths.items():
        path = workdir / f"{name}.npz"
        with lock(workdir / f"{name}.lock"):
            if not path.exists():
                run("evaluate", *data, f"--detector={_DETECTOR.value}", "--lifter=starter", f"--detections={path}")


def train_and_measure(settings, directory, test):
    """Trains a lifter, unless another process does or did, and writes its report."""
    directory.mkdir(exist_ok=True)
    with lock(f"{directory}.lock", wait=False) as alone:
        report = directory / "report.json"
        if not alone or report.exists():
            return
        values = [f"--config.{key}={value}" for key, value in settings.items()]
        run("train", "--config=sem_gcn_recomposed", f"--workdir={directory}", *values)
        run("evaluate", f"--lifter={directory}", *test, f"--output={report}")


def figures(values):
    """The mean of several seeds, and the largest difference from it."""
    mean = sum(values) / len(values)
    spread = max(abs(value - mean) for value in values)
    return f"{mean:.1f} ± {spread:.1f} mm" if len(values) > 1 else f"{mean:.1f} mm"


def table(workdir):
    """The Markdown table of the runs that are done."""
    from pose_tf.evaluation.tables import Table, as_markdown

    rows = []
    for name in ROWS[_PART.value]:
        reports = [json.loads(path.read_text()) for path in workdir.glob(f"{slug(name)}.*/report.json")]
        if reports:
            columns = (figures([r[part]["total"][key] for r in reports]) for part, key in COLUMNS[_PART.value].values())
            rows.append((name, str(len(reports)), *columns))
    return as_markdown(Table(("lifter", "seeds", *COLUMNS[_PART.value]), tuple(rows)))


def slug(name):
    return name.replace(" ", "_")


def main():
    workdir, part = pathlib.Path(_WORKDIR.value).absolute(), _PART.value
    workdir.mkdir(parents=True, exist_ok=True)
    if not _ONLY_PRINT.value:
        given = INPUTS[part]
        missing = [f"--{name}" for name in given if flags.FLAGS[name].value is None]
        if missing:
            raise UserError(f"--part={part} also needs {', '.join(missing)}")
        test = [f"--poses={_POSES.value}", "--subjects=9,10,11"]
        if part == "images":
            detect(workdir)
            test = [f"--poses={workdir / 'test.npz'}"]
        for seed in range(_SEEDS.value):
            for name in _ROWS.value or ROWS[part]:
                settings = COMMON[part] | ROWS[part][name] | {"seed": seed, "data.poses": _POSES.value}
                if "augment.errors" in settings:
                    settings["augment.errors"] = workdir / "held_out.npz"
                train_and_measure(settings, workdir / f"{slug(name)}.{seed}", test)
    print(table(workdir))


if __name__ == "__main__":
    cli.run(main)

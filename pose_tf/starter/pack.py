"""Packs a detector's and a lifter's run as the starter, the model that comes with the package.

    python -m pose_tf.starter.pack --detector=runs/starter_detector --lifter=runs/starter_lifter --beta=8 \\
        --confidence_beta=1.5

Writes to pose_tf/starter/ the best weights in float16, the recipes, and the lifter's statistics. Replaces the recipes
and the errors in card.json; its other entries are written by hand.
"""

import io
import json
import pathlib
import zipfile

import h5py
import numpy as np
from absl import flags

from pose_tf import cli
from pose_tf.cli import _flags
from pose_tf.errors import UserError

_DETECTOR = _flags.detector()
_LIFTER = _flags.lifter()
_BETA = flags.DEFINE_float("beta", None, "Factor on heatmaps before the softmax; default: as in the recipe.")
_CONFIDENCE_BETA = flags.DEFINE_float("confidence_beta", None, "The same for confidences.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", str(pathlib.Path(__file__).resolve().parent), "Directory to write to.")
flags.mark_flags_as_required(["detector", "lifter"])


def halve(data: bytes) -> bytes:
    """The bytes of a .keras file with its weights in float16. Keras converts them to float32 when it loads them."""
    halved = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(halved, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(zipfile.ZipInfo(name), _halve_weights(content) if name.endswith(".h5") else content)
    return halved.getvalue()


def _halve_weights(data):
    halved = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as source, h5py.File(halved, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                target.create_dataset(name, data=np.float16(item[...]))
            else:
                target.require_group(name)

        source.visititems(copy)
    return halved.getvalue()


def main():
    cli.start_tensorflow()
    from pose_tf import files
    from pose_tf.models import load_keras
    from pose_tf.training.recipe import PATH_KEYS
    from pose_tf.training.trainer import STAGES
    from pose_tf.workdir import Workdir

    folder = pathlib.Path(_OUTPUT_DIR.value)
    card = json.loads((folder / "card.json").read_text()) if (folder / "card.json").exists() else {}
    card |= {"validation_errors": {}, "training": {}}
    for stage, path in (("detector", _DETECTOR.value), ("lifter", _LIFTER.value)):
        run, packed = Workdir(path), Workdir(str(folder / stage))
        run.load_best(stage)  # reports damage
        config = run.config()
        if config.stage != stage:
            raise UserError(f"{path} trained both stages; the starter has one run for each")
        with files.replacing(packed.file("best.keras")) as temporary:
            pathlib.Path(temporary).write_bytes(halve(pathlib.Path(run.file("best.keras")).read_bytes()))
        load_keras(packed.file("best.keras"))
        for path_key in ("init_from", *PATH_KEYS):
            *sections, key = path_key.split(".")
            part = config.get(sections[0], {}) if sections else config
            if part.get(key):
                part[key] = pathlib.Path(part[key]).name  # without the directories of this machine
        if stage == "detector":
            given = {"beta": _BETA.value, "confidence_beta": _CONFIDENCE_BETA.value}
            with config.unlocked():
                config.decoding.update({name: value for name, value in given.items() if value is not None})
        files.write_json(packed.file("config.json"), config.to_dict())
        if stage == "lifter":
            files.write_json(packed.file("statistics.json"), run.statistics().to_json())
        card["validation_errors"][stage] = run.best_errors(STAGES[stage].validation_metric)
        card["training"][stage] = config.to_dict()
        print(f"{stage} {packed.path}")
    files.write_json(str(folder / "card.json"), card)


if __name__ == "__main__":
    cli.run(main)

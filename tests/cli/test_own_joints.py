"""The commands with the joints of a data set: convert, inspect, train both stages, evaluate; and what is refused."""

import json

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.skeleton import H36M, find_skeleton
from tests.data.converters.layouts import coco_person, write_coco, write_photo, write_video
from tests.data.converters.test_mpi_inf_3dhp import FOLDER, GRAYS, Sequence

RECIPE = """
from pose_tf.configs import base


def get_config():
    config = base.end_to_end()
    config.skeleton = "records"
    config.model.width = config.model.stem = 4
    config.model.modules, config.model.blocks, config.model.downsample = (1, 1, 1), 1, 8
    config.lifter.units, config.lifter.num_blocks = 8, 1
    config.data.batch_size, config.data.validation_subjects = 4, ()
    config.occlusion.probability = 0.0
    config.train.epochs = config.train.validate_every_epochs = 1.0
    return config
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a sequence of MPI-INF-3DHP in `in`, people of COCO in `people.json`, and a recipe."""
    Sequence(1).write(tmp_path / "in")
    write_video(tmp_path / "in" / FOLDER / "imageSequence" / "video_0.avi", GRAYS)
    write_coco(tmp_path / "people.json", [coco_person(box=(100 + i, 30, 104, 180)) for i in range(30)])
    write_photo(tmp_path / "images" / "000000000001.jpg", (100, 100))
    (tmp_path / "recipe.py").write_text(RECIPE)
    return tmp_path


def convert_flags(folder, skeleton, name="mpi_inf_3dhp"):
    source = ("--from=mpi_inf_3dhp", f"--annotations={folder}/in")
    return ("convert", *source, f"--skeleton={skeleton}", f"--output_dir={folder}/data", f"--name={name}")


@pytest.mark.parametrize("name", ["mpi_inf_3dhp_28", "body_14"])
def test_both_stages_train_on_the_joints_of_the_records(run_tool, fails, folder, name):
    skeleton, joints = find_skeleton(name), len(find_skeleton(name).joints)
    done = run_tool(*convert_flags(folder, name))
    assert done.stdout == f"5 people in {folder}/data/h36\n"
    assert json.loads((folder / "data" / "h36" / "skeleton.json").read_text()) == skeleton.to_json()
    flags = ("train", f"--config={folder}/recipe.py", f"--data_dir={folder}/data", f"--workdir={folder}/run")
    run_tool(*flags)
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["skeleton"] == f"{folder}/data/h36/skeleton.json"
    assert json.loads((folder / "run" / "skeleton.json").read_text()) == skeleton.to_json()
    runs = (f"--detector={folder}/run", f"--lifter={folder}/run", f"--data_dir={folder}/data")
    done = run_tool("evaluate", *runs, f"--output={folder}/report.json", f"--detections={folder}/found.npz")
    report = json.loads((folder / "report.json").read_text())
    for part in ("pose2d", "detected_2d", "true_2d"):
        assert list(report[part]["joints"]) == list(skeleton.joints), part
    assert report["trained_on"] == [3]
    with np.load(folder / "found.npz") as file:
        assert file["joints"].tolist() == list(skeleton.joints) and file["detected"].shape == (5, joints, 2)
    if joints < 17:
        message = fails(*flags[:-1], f"--workdir={folder}/other", "--config.skeleton=h36m")
        assert message == (
            f"error: {folder}/data lacks Neck/Nose, Head of the skeleton h36m (17 joints), and has no joints that they "
            "can be derived from; use data with these joints, or another skeleton"
        )
        return
    done = run_tool("inspect_records", f"--data_dir={folder}/data", f"--preview={folder}/sheet.png")
    assert "5 samples of the skeleton mpi_inf_3dhp_28 (28 joints)" in done.stdout and (folder / "sheet.png").exists()
    path = folder / "data" / "h36" / "skeleton.json"
    swapped = skeleton.to_json() | {"joints": [{"L": "R", "R": "L"}.get(j[0], j[0]) + j[1:] for j in skeleton.joints]}
    path.write_text(json.dumps(swapped))
    assert f"{folder}/run contains a run with the skeleton {skeleton}, which differs from" in fails(*flags)
    message = fails(*flags, f"--config.skeleton={folder}/run/skeleton.json")
    assert message.startswith(f"error: {folder}/run contains a run on other data: skeleton.json of the records was mpi")
    path.write_text("{")
    for command in (flags, ("evaluate", *runs), ("inspect_records", f"--data_dir={folder}/data")):
        assert fails(*command).startswith(f"error: {path} is not a skeleton's file: ")
    path.unlink()
    assert f"{path.parent}/mpi_inf_3dhp_00000-of-00001.tfrecord record 0: 'pose2d_crop' has 224 bytes" in (
        message := fails("evaluate", *runs)
    ) and message.endswith("skeleton.json beside the records must name their 28 joints")


def test_what_convert_refuses_about_joints_is_one_sentence(run_tool, fails, folder):
    assert fails(*convert_flags(folder, "centaur")).startswith("error: --skeleton=centaur does not exist; give a JSON")
    assert f"{folder}/in lacks LEye, REye, LEar, REar of the skeleton coco" in fails(*convert_flags(folder, "coco_19"))
    assert not (folder / "data").exists()
    run_tool(*convert_flags(folder, "body_14"))
    assert fails(*convert_flags(folder, "h36m", "other")) == (
        f"error: {folder}/data/h36 has records with the joints of the skeleton body_14 (14 joints), not of h36m (17 "
        "joints); give another --output_dir, or the --skeleton of these records"
    )


def test_a_detector_of_photographs_has_eyes_and_ears(run_tool, folder):
    paths = (f"--annotations={folder}/people.json", f"--images={folder}/images", f"--output_dir={folder}/data")
    run_tool("convert", "--from=coco", *paths, "--skeleton=coco_19")
    (shard,) = records.list_shards(f"{folder}/data", "mpii")
    (sample, *_) = records.read(shard, records.schema_of(shard))
    assert sample["visibility"].tolist() == [[1] * 19]
    recipe = RECIPE.replace("end_to_end", "detector").replace("    config.lifter.units", "    # config.lifter.units")
    (folder / "recipe.py").write_text(recipe)
    mix = ("--config.data.mix.h36=0.0", "--config.data.mix.mpii=1.0")
    run_tool("train", f"--config={folder}/recipe.py", f"--data_dir={folder}/data", f"--workdir={folder}/run", *mix)
    flags = ("--source=mpii", f"--detector={folder}/run", f"--data_dir={folder}/data", f"--output={folder}/report.json")
    run_tool("evaluate", *flags)
    errors = json.loads((folder / "report.json").read_text())["pose2d"]["joints"]
    assert list(errors) == list(find_skeleton("coco_19").joints) and None not in errors.values()
    assert not {"LEye", "REar"} & set(H36M.joints)

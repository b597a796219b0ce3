"""Tests of records with other joints than their data set's, which a file beside them names."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import geometry, viz
from pose_tf.data import pipeline, records
from pose_tf.data.fingerprint import of_records
from pose_tf.data.graph_records import named_errors
from pose_tf.data.inspection import format_inspection, inspect
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from pose_tf.evaluation.evaluator import seen_in_training
from pose_tf.skeleton import H36M, find_skeleton
from tests.data.photos import make_photo
from tests.skeletons import BODY_14, BODY_21

SCHEMA = records.h36m(21)
FACE = find_skeleton("coco_19")


def with_21_joints(sample):
    """A sample with toes and hands, halfway between two other joints in space."""
    halfway = {"pose3d": None, "pose3d_univ": None}
    for key in halfway:
        more = (sample[key][[6, 3, 13, 16]] + sample[key][[5, 2, 12, 15]]) / 2
        halfway[key] = np.float32(np.concatenate([sample[key], more]))
    x, y, z = halfway["pose3d"].T
    fx, cx, fy, cy = sample["intrinsics"][0]
    pose2d = np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)
    return sample | halfway | {"pose2d": pose2d, "pose2d_crop": (pose2d - sample["offset"]) * sample["scale"]}


def name_joints(folder, skeleton):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skeleton.json").write_text(json.dumps(skeleton.to_json()))


@pytest.fixture(scope="module")
def samples(make_sample):
    return [with_21_joints(make_sample(number)) for number in range(6)]


@pytest.fixture
def data_dir(tmp_path, samples):
    """Six samples of 21 joints in two files."""
    name_joints(tmp_path / "data" / "h36", BODY_21)
    for part in range(2):
        records.write(f"{tmp_path}/data/h36/{part}", samples[part::2], SCHEMA)
    return tmp_path / "data"


def order(samples):
    return sorted(range(len(samples)), key=lambda number: samples[number]["pose3d"][0, 0])


def test_the_index_has_all_joints_and_is_not_used_with_others(data_dir, samples):
    index = index_records(str(data_dir))
    assert index.poses.skeleton == index.source.skeleton == BODY_21
    assert index.shards == [f"{data_dir}/h36/0", f"{data_dir}/h36/1"]
    for key in ("pose2d_crop", "pose3d"):
        expected = np.stack([samples[i][key] for i in order(samples)])
        rank = np.argsort(index.poses.pose3d[:, 0, 0])
        np.testing.assert_array_equal(getattr(index.poses, key)[rank], expected)
    assert (data_dir / ".pose_tf" / "index.npz").exists()
    assert index_records(str(data_dir)).poses.skeleton == BODY_21
    swapped = BODY_21.to_json()
    swapped["joints"][17:19] = swapped["joints"][18:16:-1]  # left and right toes
    (data_dir / "h36" / "skeleton.json").write_text(json.dumps(swapped))
    other = index_records(str(data_dir)).poses
    assert other.skeleton.joints[17:19] == ("RToes", "LToes")
    left = [poses.pose3d[:, poses.skeleton.index("LToes")] for poses in (index.poses, other)]
    assert not np.any(left[0] == left[1])


def test_batches_have_all_joints_or_those_that_are_asked_for(data_dir, samples, service):
    index, keys = index_records(str(data_dir)), ("pose2d_crop", "pose3d")
    expected = {sample["pose3d"].tobytes() for sample in samples}
    for address in ("", service(1)):
        (batch,) = pipeline.detector_batches(index, (1, 5, 6), 6, seed=0, labels=keys, service=address, job="a").take(1)
        assert batch["pose2d_crop"].shape == (6, 21, 2)
        assert {pose.tobytes() for pose in batch["pose3d"].numpy()} == expected
    for skeleton, taken in ((H36M, range(17)), (BODY_14, [0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16])):
        (batch,) = pipeline.labeled_images(index, (1, 5, 6), 6, skeleton=skeleton)
        assert {pose.tobytes() for pose in batch["pose3d"].numpy()} == {
            np.float32(sample["pose3d"][list(taken)]).tobytes() for sample in samples
        }


def test_a_damaged_record_is_left_out_of_batches(data_dir, samples, rewrite, capfd):
    def spoil(number, example):
        if number == 1:
            example.features.feature["pose3d"].bytes_list.value[0] = bytes(204)

    rewrite(data_dir / "h36" / "1", SCHEMA, spoil, samples[1::2])
    message = f"{data_dir}/h36/1 record 1: 'pose3d' has 204 bytes, expected 252 for (21, 3); skeleton.json beside the "
    with pytest.raises(UserError) as caught:
        index_records(str(data_dir))
    assert str(caught.value) == f"{message}records must name their 17 joints"
    index = index_records(str(data_dir), "skip")
    batches = pipeline.detector_batches(index, (1, 5, 6), 5, seed=0, on_damage="skip")
    assert batches.element_spec["pose2d_crop"].shape == (5, 21, 2)
    (batch,) = batches.take(1)
    assert len(index.poses) == 5 and batch["pose2d_crop"].shape == (5, 21, 2) and batch["skipped"].numpy().sum() <= 1
    with pytest.raises(UserError) as caught, named_errors(index.shards):
        list(pipeline.detector_batches(index, (1, 5, 6), 5, seed=0).take(2))
    assert message in str(caught.value)


def test_an_inspection_names_the_skeleton_and_draws_it(data_dir, samples, tmp_path):
    found = inspect(str(data_dir))
    assert not found.faults and found.samples == {"h36": 6}
    assert format_inspection(found).startswith("h36              6 samples of the skeleton body_21 (21 joints)\n")
    drawn = viz.sheet_of_samples(found.preview)
    without = viz.sheet_of_samples([sample | {"skeleton": H36M} for sample in found.preview])
    assert np.any(drawn != without)
    np.testing.assert_array_equal(
        without, viz.sheet_of_samples([{k: v for k, v in s.items() if k != "skeleton"} for s in found.preview])
    )
    bent = dict(samples[0])
    bent["pose2d"] = bent["pose2d"].copy()
    bent["pose2d"][20] += 3  # the last joint counts, too
    records.write(f"{data_dir}/h36/0", [bent], SCHEMA)
    projected, cropped = inspect(str(data_dir)).faults
    assert projected.startswith(f"{data_dir}/h36/0 record 0: pose3d projects ")
    assert cropped.startswith(f"{data_dir}/h36/0 record 0: pose2d crops to ")


def test_the_joints_belong_to_the_fingerprint_but_are_no_people(data_dir):
    before = of_records(str(data_dir))
    assert before["skeleton.json"].startswith("body_21 (21 joints), checksum ") and len(before) == 3
    swapped = BODY_21.to_json()
    swapped["joints"][17:19] = swapped["joints"][18:16:-1]
    (data_dir / "h36" / "skeleton.json").write_text(json.dumps(swapped))
    now = of_records(str(data_dir))
    assert [name for name in now if now[name] != before[name]] == ["skeleton.json"]
    config = types.SimpleNamespace(data=types.SimpleNamespace(validation_subjects=(6,)))
    for others, trained in (({}, [1]), ({"0": "other people"}, [])):
        kept = {"records": {"skeleton.json": before["skeleton.json"], "0": before["0"]} | others, "samples": 1}
        run = types.SimpleNamespace(data=lambda kept=kept: kept, config=lambda: config)
        assert seen_in_training([run], [1], {"skeleton.json": before["skeleton.json"], "0": before["0"]}) == {
            "trained_on": trained,
            "selected_on": [],
        }


FAULTS = {
    "cut": (b'{"name": "bo', "skeleton.json is not a skeleton's file: "),
    "no text": (b"\xff\xfe\x00", "skeleton.json is not a skeleton's file: "),
    "no bones": (b'{"name": "a", "joints": ["Hip", "Head"]}', "skeleton.json has no 'bones'"),
    "fewer joints": (
        json.dumps(BODY_14.to_json()).encode(),
        " record 0: 'pose2d_crop' has 168 bytes, expected 112 for (14, 2); skeleton.json beside the records must name "
        "their 21 joints",
    ),
    "missing": (
        None,
        " record 0: 'pose2d_crop' has 168 bytes, expected 136 for (17, 2); skeleton.json beside the records must name "
        "their 21 joints",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_of_joints_that_is_wrong_is_named(data_dir, fault):
    text, words = FAULTS[fault]
    path = data_dir / "h36" / "skeleton.json"
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        index_records(str(data_dir))
    assert str(data_dir) in str(caught.value) and words in str(caught.value)
    if "bytes" in words:
        assert words in inspect(str(data_dir)).faults[0]
    else:
        for read in (inspect, of_records):
            with pytest.raises(UserError) as caught:
                read(str(data_dir))
            assert str(data_dir) in str(caught.value) and words in str(caught.value)


# ---- photographs


def face_photo(number, unlabeled=()):
    """A photograph with the joints of coco_19: drawn at random, as `make_photo` does."""
    rng = np.random.default_rng(number)
    seen = ~np.isin(FACE.joints, unlabeled)
    pose2d = np.where(seen[:, None], rng.uniform(5, [114, 74], (19, 2)), 0)
    return make_photo(number) | {"pose2d": np.float32(pose2d), "visibility": np.int64(seen)[None]}


def test_photographs_have_all_joints_and_the_middle_of_the_hips(tmp_path):
    name_joints(tmp_path / "mpii", FACE)
    photos = [face_photo(0), face_photo(1, ("LHip", "REye")), face_photo(2, ("Hip",))]
    schema = records.mpii(19)
    records.write(f"{tmp_path}/mpii/a", photos, schema)
    index = index_records(str(tmp_path), kind="mpii")
    assert index.poses.skeleton == FACE and not index.source.has_pose3d
    scale = 256 / 120
    for photo in photos:
        sample = index.source.parse(tf.constant(records.encode(photo, schema)))
        expected = (photo["pose2d"] + 0.5) * scale - 0.5 + (0, (256 - 80 * scale) / 2)
        seen = photo["visibility"][0] > 0
        if seen[FACE.index("LHip")]:
            expected[0], seen[0] = (expected[FACE.index("LHip")] + expected[FACE.index("RHip")]) / 2, True
        np.testing.assert_allclose(sample["pose2d_crop"][seen], expected[seen], atol=1e-3)
        np.testing.assert_array_equal(sample["pose2d_crop"][~seen], np.full((19 - seen.sum(), 2), -1e6))
        assert sample["pose3d"].shape == (19, 3) and np.isnan(sample["pose3d"]).all()
    (batch,) = pipeline.labeled_images(index, range(20), 3, skeleton=H36M)
    known = np.asarray(geometry.labeled(batch["pose2d_crop"]))
    assert known[:, H36M.index("Head")].sum() == 0 and known[:, H36M.index("Neck/Nose")].sum() == 3
    assert known[:, H36M.index("Spine")].sum() == 3  # the middle of hip and thorax
    found = inspect(str(tmp_path))
    assert not found.faults and found.preview[0]["skeleton"] == FACE
    assert viz.sheet_of_samples(found.preview).any()

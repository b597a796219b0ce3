"""Tests of training with other joints than Human3.6M's 17, from their records and pose files."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import files, geometry
from pose_tf.data import records
from pose_tf.data.pipeline import Share
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from pose_tf.evaluation import evaluator
from pose_tf.evaluation.loading import load_detector, load_estimator
from pose_tf.models import load_keras
from pose_tf.skeleton import H36M, find_skeleton
from pose_tf.synthetic.sample import render_sample
from pose_tf.training.detector_stage import DetectorStage
from pose_tf.training.end_to_end_stage import EndToEndStage
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.training.lifter_stage import LifterStage
from pose_tf.training.recipe import check_same_recipe, check_values, skeleton_of, with_skeleton_of_records
from pose_tf.training.trainer import train
from pose_tf.workdir import Workdir
from tests.data.photos import write_photos
from tests.data.test_own_joints import face_photo, name_joints, with_21_joints
from tests.skeletons import BODY_14, BODY_21, H36M_16
from tests.training.recipes import recipe
from tests.training.test_end_to_end_stage import tiny

TAKEN = [H36M.index(joint) for joint in H36M_16.joints]


@pytest.fixture
def lifter_config(config):
    config.skeleton = "h36m_16"
    config.train.epochs = 1 / 3  # two steps
    return config


@pytest.fixture
def detector_config(detector_config):
    detector_config.skeleton = "h36m_16"
    detector_config.occlusion.probability = 0.0
    detector_config.model.modules, detector_config.model.blocks = (1, 1, 1), 1
    detector_config.model.downsample = 8
    detector_config.train.epochs = 2.0  # of one step
    return detector_config


def save_run(stage, path):
    """Writes the directory of a run that has not taken a step."""
    workdir = Workdir(str(path))
    workdir.create()
    workdir.save_best(stage.model, stage.skeleton)
    workdir.save_skeleton(stage.skeleton)
    if stage.statistics:
        files.write_json(workdir.file("statistics.json"), stage.statistics.to_json())
    files.write_json(workdir.file("config.json"), stage.config.to_dict())
    return workdir


@pytest.fixture
def trained_lifter(lifter_config, tmp_path):
    return save_run(LifterStage(lifter_config, None), tmp_path / "lifter")


@pytest.fixture
def trained_detector(detector_config, data_dir, tmp_path):
    return save_run(DetectorStage(detector_config, str(data_dir)), tmp_path / "detector")


def test_a_lifter_of_16_joints_trains_on_17_and_keeps_its_skeleton(lifter_config, poses, tmp_path):
    stage = LifterStage(lifter_config, None)
    with np.load(poses) as file:
        expected = file["pose3d"][~np.isin(file["subject"], [8])][:, TAKEN]
    np.testing.assert_allclose(stage.training.pose3d, expected, rtol=1e-6)
    errors = train(lifter_config, None, f"{tmp_path}/lifter")
    assert {"mpjpe", "bone_symmetry_error"} <= errors.keys()
    workdir = Workdir(f"{tmp_path}/lifter")
    assert workdir.skeleton() == H36M_16
    assert workdir.statistics().mean.shape == (16, 3)
    assert workdir.load_best("lifter").output_shape == (None, 16, 3)
    report, arrays = evaluator.evaluate_poses(workdir, stage.training)
    assert arrays["lifted"].shape == (48, 16, 3)
    assert list(report["true_2d"]["joints"]) == list(H36M_16.joints)


def test_a_lifter_evaluates_poses_of_other_skeletons_by_name(trained_lifter, poses):
    from pose_tf.data.poses import read_pose_file

    of_17, of_16 = (evaluator.evaluate_poses(trained_lifter, read_pose_file(poses, one)) for one in (H36M, H36M_16))
    np.testing.assert_array_equal(of_17[1]["lifted"], of_16[1]["lifted"])
    headless = dataclasses.replace(H36M, joints=tuple(name.replace("Head", "Hat") for name in H36M.joints))
    with pytest.raises(UserError, match="poses.npz lacks Head of the skeleton h36m_16"):
        evaluator.evaluate_poses(trained_lifter, dataclasses.replace(read_pose_file(poses), skeleton=headless))


@pytest.mark.parametrize("name", ["feed_forward", "sem_gcn"])
def test_lifters_of_14_and_21_joints_train(config, tmp_path, rng, name):
    pose3d = rng.normal(0, 300, (60, 21, 3)) + [0, 0, 5000]
    pose2d = pose3d[..., :2] / pose3d[..., 2:] * 1000 + 128
    config.data.poses = f"{tmp_path}/of21.npz"
    subject = np.resize([1, 5, 6, 7, 8], 60)
    np.savez(config.data.poses, pose2d_crop=pose2d, pose3d=pose3d, subject=subject, joints=np.array(BODY_21.joints))
    (tmp_path / "body_21.json").write_text(json.dumps(BODY_21.to_json()))
    for skeleton, path in ((BODY_21, f"{tmp_path}/body_21.json"), (BODY_14, "body_14")):
        other = recipe("sem_gcn_recomposed") if name == "sem_gcn" else config.copy_and_resolve_references()
        other.data.poses, other.skeleton, other.data.batch_size = config.data.poses, path, 8
        other.bones.symmetry, other.train.epochs, other.flip_test = 0.1, 1 / 3, True
        if name == "sem_gcn":
            other.model.channels, other.model.num_blocks = 8, 1
        check_values(other)
        stage = LifterStage(other, None)
        batch = next(iter(stage.training_batches(0, Share())))
        assert batch["pose3d"].shape == (8, len(skeleton.joints), 3)
        found = stage.losses(stage.augment(batch, [0, 0]))
        assert np.isfinite(found["loss"]).all() and "bone_symmetry" in found
        assert {"mpjpe", "auc3d"} <= stage.validate().keys()
        assert stage.training_sheet().any() and stage.validation_sheet().any()


def test_a_run_resumes_with_its_joints_only(lifter_config, trained_lifter, tmp_path):
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(H36M_16.to_json()))
    lifter_config.skeleton = str(copy)
    check_same_recipe(lifter_config, trained_lifter.config(), trained_lifter.path)
    trained_lifter.check_same_skeleton(skeleton_of(lifter_config))  # the same joints under another name
    lifter_config.skeleton = "h36m"
    with pytest.raises(UserError) as caught:
        train(lifter_config, None, trained_lifter.path)
    assert str(caught.value) == (
        f"{trained_lifter.path} contains a run with the skeleton h36m_16 (16 joints), which differs from "
        "config.skeleton, h36m (17 joints): joint 9 was Head, now it is Neck/Nose; resume it with its own skeleton, or "
        "use another directory"
    )
    parents = dict(H36M_16.bones) | {H36M_16.index("Head"): H36M_16.index("Spine")}
    with pytest.raises(UserError, match=": Head hung from Thorax, now from Spine; resume it"):
        trained_lifter.check_same_skeleton(dataclasses.replace(H36M_16, bones=tuple(parents.items())))
    more = dataclasses.replace(H36M_16, joints=(*H36M_16.joints, "Tail"), bones=(*H36M_16.bones, (16, 0)))
    with pytest.raises(UserError, match=": joint 16 was missing, now it is Tail; resume it"):
        trained_lifter.check_same_skeleton(more)


def test_a_workdir_needs_no_other_file_for_its_skeleton(lifter_config, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps(H36M_16.to_json() | {"name": "mine"}))
    lifter_config.skeleton = str(mine)
    save_run(LifterStage(lifter_config, None), tmp_path / "lifter")
    mine.unlink()
    assert Workdir(f"{tmp_path}/lifter").skeleton().name == "mine"
    assert Workdir(f"{tmp_path}/lifter").load_best("lifter").output_shape == (None, 16, 3)


def test_a_run_resumes_without_the_file_that_named_its_skeleton(lifter_config, tmp_path, capsys):
    mine, folder = tmp_path / "mine.json", f"{tmp_path}/lifter"
    mine.write_text(json.dumps(H36M_16.to_json() | {"name": "mine"}))
    lifter_config.skeleton = str(mine)
    train(lifter_config, None, folder)
    assert "the skeleton mine (16 joints) has 6 pairs of left and right joints" in capsys.readouterr().err
    mine.unlink()
    for _ in range(2):
        assert train(lifter_config, None, folder)
        told = capsys.readouterr().err
        assert f"config.skeleton={mine} does not exist; taking {folder}/skeleton.json" in told and "resuming" in told
    with pytest.raises(UserError, match=r"config.skeleton=.*mine.json does not exist"):
        train(lifter_config, None, f"{tmp_path}/other")


def test_runs_of_earlier_versions_have_the_default(config, tmp_path):
    workdir = save_run(LifterStage(config, None), tmp_path / "lifter")
    assert not (tmp_path / "lifter" / "skeleton.json").exists()
    values = json.loads((tmp_path / "lifter" / "config.json").read_text())
    del values["skeleton"]
    (tmp_path / "lifter" / "config.json").write_text(json.dumps(values))
    assert workdir.skeleton() == H36M
    check_same_recipe(config, workdir.config(), workdir.path)
    workdir.check_same_skeleton(skeleton_of(config))
    values["skeleton"] = 3
    (tmp_path / "lifter" / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="config.json is damaged: its skeleton is 3"):
        workdir.skeleton()


def test_a_detector_of_16_joints_trains_on_17(detector_config, data_dir, tmp_path):
    stage = DetectorStage(detector_config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    whole = index_records(str(data_dir)).poses.pose2d_crop[:, TAKEN]
    assert all(any(np.allclose(pose, each, atol=1e-4) for each in whole) for pose in batch["pose2d_crop"])
    errors = train(detector_config, str(data_dir), f"{tmp_path}/detector")
    assert {"pixel_error", "pck2d"} <= errors.keys()
    model = Workdir(f"{tmp_path}/detector").load_best("detector")
    assert model.output_shape[-1] == 16


def test_photographs_label_the_joints_that_they_have(detector_config, data_dir, tmp_path):
    write_photos(tmp_path, 30)
    (tmp_path / "h36").symlink_to(data_dir / "h36")
    detector_config.data.mix.mpii = 1.0
    stage = DetectorStage(detector_config, str(tmp_path))
    batch = next(iter(stage.training_batches(0, Share())))
    assert batch["pose2d_crop"].shape == (2, 16, 2)
    unlabeled = batch["pose2d_crop"].numpy()[1, :, 0] == -1e6
    assert unlabeled[H36M_16.index("Spine")] and not unlabeled.all()
    assert {"mpii/pixel_error", "h36/pck2d"} <= stage.validate().keys()


@pytest.mark.parametrize("source", ["h36", "mpii"])
def test_records_that_lack_joints_are_refused(detector_config, data_dir, tmp_path, source):
    write_photos(tmp_path, 30)
    (tmp_path / "h36").symlink_to(data_dir / "h36")
    (tmp_path / "body_21.json").write_text(json.dumps(BODY_21.to_json()))
    detector_config.skeleton = f"{tmp_path}/body_21.json"
    detector_config.data.mix.h36, detector_config.data.mix.mpii = float(source == "h36"), float(source == "mpii")
    with pytest.raises(UserError, match="lacks LToes, RToes, LHand, RHand of the skeleton body_21"):
        DetectorStage(detector_config, str(tmp_path))


def test_both_stages_train_at_once_and_their_file_keeps_the_skeleton(data_dir, tmp_path):
    config = tiny("sem_gcn")
    config.skeleton, config.flip_test = "h36m_16", True
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    losses = stage.losses(stage.augment(batch, [0, 0]))
    assert np.isfinite(losses["loss"]).all()
    assert stage.poses().shape[1:] == (16, 3) and stage.validation_sheet().any()
    stage.model.save(tmp_path / "best.keras")
    loaded = load_keras(f"{tmp_path}/best.keras")
    assert loaded.skeleton == H36M_16 and loaded.lifter.get_config()["edges"] == [list(bone) for bone in H36M_16.bones]
    images = batch["image"]
    np.testing.assert_allclose(loaded(images)["pose3d"], stage.model(images)["pose3d"], atol=1e-3)


# ---- the joints of the records


@pytest.fixture(scope="module")
def own_joints(tmp_path_factory):
    """Three images of people with 21 joints, and 30 photographs with the joints of coco_19."""
    folder = tmp_path_factory.mktemp("own")
    samples = [with_21_joints(render_sample(0, i, subject)) for i, subject in enumerate((1, 5, 8))]
    name_joints(folder / "h36", BODY_21)
    records.write(f"{folder}/h36/a", samples, records.h36m(21))
    name_joints(folder / "mpii", find_skeleton("coco_19"))
    records.write(f"{folder}/mpii/a", map(face_photo, range(30)), records.mpii(19))
    return folder


def test_a_detector_trains_on_the_joints_of_both_kinds(detector_config, own_joints, tmp_path):
    detector_config.skeleton, detector_config.data.mix.mpii = "records", 1.0
    check_values(detector_config)
    named = with_skeleton_of_records(detector_config, str(own_joints))
    assert named.skeleton == f"{own_joints}/h36/skeleton.json" and detector_config.skeleton == "records"
    stage = DetectorStage(named, str(own_joints))
    assert stage.skeleton == BODY_21 and stage.model.output_shape[-1] == 21
    batch = next(iter(stage.training_batches(0, Share())))
    of_people, of_photo = np.asarray(geometry.labeled(batch["pose2d_crop"])) > 0
    assert of_people.all()
    assert [BODY_21.joints[i] for i in np.flatnonzero(~of_photo)] == ["Head", "LToes", "RToes", "LHand", "RHand"]
    assert {"mpii/pixel_error", "h36/pck2d"} <= stage.validate().keys()
    detector_config.data.mix.h36 = 0.0
    named = with_skeleton_of_records(detector_config, str(own_joints))
    assert skeleton_of(named) == find_skeleton("coco_19")
    detector_config.skeleton = "h36m"  # without the 3D poses, nothing labels the head
    with pytest.raises(UserError, match="lacks Head of the skeleton h36m"):
        DetectorStage(detector_config, str(own_joints))


def test_records_without_joints_of_their_own_have_human36ms(detector_config, data_dir):
    detector_config.skeleton = "records"
    assert with_skeleton_of_records(detector_config, str(data_dir)).skeleton == "h36m"


def test_a_run_resumes_on_the_joints_of_the_records_alone(config, own_joints, tmp_path):
    config.data.poses, config.skeleton, config.train.epochs = "", "records", 1.0
    config.data.batch_size = 2
    train(config, str(own_joints), f"{tmp_path}/lifter")
    workdir = Workdir(f"{tmp_path}/lifter")
    assert workdir.skeleton() == BODY_21 and workdir.statistics().mean.shape == (21, 3)
    assert train(config, str(own_joints), f"{tmp_path}/lifter")
    config.skeleton = "h36m"
    with pytest.raises(UserError, match="contains a run with the skeleton body_21"):
        train(config, str(own_joints), f"{tmp_path}/lifter")


def test_the_joints_of_no_records_and_such_that_options_need_are_refused(config, detector_config, tmp_path):
    config.skeleton = "records"
    with pytest.raises(UserError) as caught:
        train(config, str(tmp_path), f"{tmp_path}/lifter")
    assert str(caught.value) == (
        "config.skeleton is 'records', but the recipe reads no records of data_dir; name a skeleton"
    )
    few = {"name": "few", "joints": ["Hip", "LFoot", "RFoot"], "bones": [["LFoot", "Hip"], ["RFoot", "Hip"]]}
    (tmp_path / "h36").mkdir()
    (tmp_path / "h36" / "skeleton.json").write_text(json.dumps(few))
    detector_config.skeleton, detector_config.augment.half_body = "records", 0.3
    with pytest.raises(UserError, match=r"half_body is 0.3, but the skeleton few \(3 joints\) lacks LHip"):
        train(detector_config, str(tmp_path), f"{tmp_path}/detector")
    assert not (tmp_path / "detector").exists()


# ---- starting from other runs, and joining two


def head(model):
    return [weight.numpy() for weight in model.get_layer("final_layer").weights]


def test_a_detector_starts_from_one_of_other_joints_by_name(trained_detector, data_dir, detector_config, tmp_path):
    source = trained_detector.load_best("detector")
    detector_config.skeleton = "h36m"
    model = DetectorStage(detector_config, str(data_dir)).model
    before = head(model)
    left = load_initial_weights(model, trained_detector.path, skeleton=H36M)
    assert left == ["final_layer of Neck/Nose"]
    for values, given, old in zip(head(model), head(source), before):
        np.testing.assert_array_equal(values[..., TAKEN], given)
        np.testing.assert_array_equal(values[..., H36M.index("Neck/Nose")], old[..., H36M.index("Neck/Nose")])


def test_the_same_number_of_other_joints_is_not_taken_for_the_same(trained_detector, data_dir, detector_config):
    swapped = dataclasses.replace(H36M_16, joints=tuple(reversed(H36M_16.joints)))
    source = trained_detector.load_best("detector")
    model = DetectorStage(detector_config, str(data_dir)).model
    assert load_initial_weights(model, trained_detector.path, skeleton=swapped) == []
    for values, given in zip(head(model), head(source)):
        np.testing.assert_array_equal(values, given[..., ::-1])


def test_a_lifter_does_not_start_from_one_of_other_joints(trained_lifter, config, tmp_path):
    config.skeleton, config.init_from = "h36m", trained_lifter.path
    with pytest.raises(UserError) as caught:
        train(config, None, f"{tmp_path}/other")
    assert str(caught.value) == (
        f"config.init_from={trained_lifter.path} has the joints of h36m_16 (16 joints), but config.skeleton is h36m "
        "(17 joints); a lifter can only start from one with the same joints"
    )
    assert not (tmp_path / "other" / "config.json").exists()


def test_both_stages_do_not_start_from_a_lifter_of_other_joints(trained_lifter, data_dir):
    config = tiny("feed_forward")
    config.lifter_init_from = trained_lifter.path
    with pytest.raises(UserError, match=r"config.skeleton is h36m \(17 joints\), but the lifter of .* has the joints"):
        EndToEndStage(config, str(data_dir))


def test_stages_of_other_joints_are_not_joined(trained_detector, trained_lifter, config, tmp_path):
    estimator = load_estimator(trained_detector.path, trained_lifter.path)
    assert estimator.skeleton == H36M_16
    config.skeleton = "h36m"
    save_run(LifterStage(config, None), tmp_path / "of17")
    with pytest.raises(UserError) as caught:
        load_estimator(trained_detector.path, f"{tmp_path}/of17")
    assert str(caught.value) == (
        f"the detector of {trained_detector.path} has the joints of h36m_16 (16 joints), but the lifter of "
        f"{tmp_path}/of17 those of h36m (17 joints); give two runs with the same config.skeleton"
    )


def test_the_flip_test_swaps_left_and_right_of_the_skeleton(trained_detector, trained_lifter):
    """With the flip test, a mirror image has the mirrored pose."""
    estimator = load_estimator(trained_detector.path, trained_lifter.path, flip_test=True)
    rng = np.random.default_rng(0)
    for layer in estimator.detector.layers:  # a few steps leave heatmaps flat
        if isinstance(layer, tf.keras.layers.Conv2D):
            layer.kernel.assign(rng.normal(0, np.prod(layer.kernel.shape[:-1]) ** -0.5, layer.kernel.shape))
    images = rng.integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    found, mirrored = (estimator.call(each) for each in (images, images[:, :, ::-1]))
    order = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 13, 14, 15, 10, 11, 12]
    np.testing.assert_allclose(
        mirrored["pose2d"].numpy()[:, order, 0], 255 - found["pose2d"].numpy()[..., 0], atol=0.01
    )
    np.testing.assert_allclose(mirrored["pose3d"].numpy()[:, order] * [-1, 1, 1], found["pose3d"].numpy(), atol=0.1)
    detect = load_detector(trained_detector.path, flip_test=True)
    pose2d, flipped = detect(images)[0].numpy(), detect(images[:, :, ::-1])[0].numpy()
    np.testing.assert_allclose(flipped[:, order, 0], 255 - pose2d[..., 0], atol=1e-2)
    assert np.ptp(found["pose2d"].numpy()[..., 0]) > 0.1


# ---- rules of recipes


@pytest.mark.parametrize(
    ("name", "joints", "values", "message"),
    [
        (
            "hrnet_w32",
            ("Hip", "LFoot", "RFoot"),
            {"augment.half_body": 0.3},
            "config.augment.half_body is 0.3, but the skeleton few (3 joints) lacks LHip, RHip, which it needs; set "
            "config.augment.half_body = 0.0, or use another config.skeleton",
        ),
        (
            "feed_forward",
            ("Hip", "LHip", "RHip", "Thorax"),
            {"augment.recompose": True},
            "config.augment.recompose is True, but the skeleton few (4 joints) lacks LFoot, RFoot, which it needs; set "
            "config.augment.recompose = False, or use another config.skeleton",
        ),
        (
            "feed_forward",
            ("Hip", "LHip", "RHip", "Thorax", "LFoot", "RFoot"),
            {"augment.recompose": True, "augment.arm_swap": 0.5},
            "config.augment.arm_swap is 0.5, but the skeleton few (6 joints) lacks LShoulder, RShoulder, which it",
        ),
        (
            "feed_forward",
            ("Hip", "Thorax"),
            {"bones.symmetry": 1.0},
            "config.bones.symmetry is 1.0, but the skeleton few (2 joints) has no bones on both sides; set",
        ),
    ],
)
def test_options_that_need_other_joints_are_refused(tmp_path, name, joints, values, message):
    few = {"name": "few", "joints": joints, "bones": [[joint, "Hip"] for joint in joints[1:]]}
    (tmp_path / "few.json").write_text(json.dumps(few))
    config = recipe(name)
    config.skeleton = f"{tmp_path}/few.json"
    check_values(config)
    config.update_from_flattened_dict(values)
    with pytest.raises(UserError) as caught:
        check_values(config)
    assert str(caught.value).startswith(message)


def test_a_skeleton_that_is_none_is_refused_before_the_work(config, tmp_path):
    config.skeleton = "centaur"
    with pytest.raises(UserError, match="config.skeleton=centaur does not exist; give a JSON file or one of the"):
        train(config, None, f"{tmp_path}/lifter")
    assert not (tmp_path / "lifter").exists()

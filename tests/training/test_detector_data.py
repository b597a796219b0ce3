"""Tests of a detector's mixture of sources: shares, validation of each, resuming, and what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict

from pose_tf import geometry
from pose_tf.data import pipeline, records
from pose_tf.data.fingerprint import fingerprint
from pose_tf.data.pipeline import Share
from pose_tf.data.shuffling import shuffle_records
from pose_tf.errors import UserError
from pose_tf.synthetic.sample import render_sample
from pose_tf.training import trainer
from pose_tf.training.detector_data import DetectorData, index_sources
from pose_tf.training.detector_stage import DetectorStage
from tests.data.photos import write_photos
from tests.training.recipes import recipe
from tests.training.saved import latest


@pytest.fixture(scope="module")
def mixed_dir(tmp_path_factory):
    """Records of six rendered images, and of 60 photos."""
    folder = tmp_path_factory.mktemp("mixed")
    samples = [render_sample(0, i, subject) for i, subject in enumerate((1, 5, 6, 7, 8, 8))]
    records.write(f"{folder}/h36/a.tfrecord", samples, records.H36M)
    write_photos(folder)
    return str(folder)


@pytest.fixture
def config():
    config = recipe("hrnet_w32")
    config.model.width = config.model.stem = 4
    config.model.modules, config.model.blocks, config.model.downsample = (1, 1, 1), 1, 4
    config.data.batch_size = 8
    config.data.mix.h36, config.data.mix.mpii = 0.25, 0.75
    config.occlusion.probability = 0.0
    config.train.epochs = 1.0
    config.train.validate_every_epochs = 1.0
    return config


def are_photos(batch):
    return np.asarray(geometry.labeled(batch["pose2d_crop"]))[:, 7] == 0  # the spine, which MPII does not label


def test_every_batch_holds_the_shares_of_the_recipe(config, mixed_dir):
    stage = DetectorStage(config, mixed_dir)
    held_out = sum(part.validation.subject.size for part in stage.data.parts)
    assert stage.num_samples == 66 - held_out and held_out > 2
    for batch in stage.training_batches(0, Share()).take(3):
        assert are_photos(batch).tolist() == 2 * [False] + 6 * [True]


@pytest.mark.parametrize(
    ("shares", "size", "counts"),
    [((0.5, 0.5), 7, (4, 3)), ((1.0, 1.0), 4, (2, 2)), ((0.3, 0.7), 10, (3, 7)), ((0.0, 0.2), 4, (4,))],
)
def test_shares_are_rounded_to_samples(config, mixed_dir, shares, size, counts):
    config.data.mix.h36, config.data.mix.mpii = shares
    config.data.batch_size = size
    assert tuple(part.batch_size for part in DetectorStage(config, mixed_dir).data.parts) == counts


def test_a_share_of_less_than_a_sample_is_refused(config, mixed_dir):
    config.data.mix.h36, config.data.mix.mpii = 0.98, 0.02
    words = "config.data.mix.mpii is a share of 0.02, which is less than one of the 8 samples in a batch"
    with pytest.raises(UserError, match=words):
        DetectorStage(config, mixed_dir)


def test_replicas_share_each_source_evenly_or_are_refused(config, mixed_dir):
    """One device and several must train on the same mixture."""
    indexes = index_sources(config, mixed_dir)
    assert [part.batch_size for part in DetectorData(config, indexes, 8, 2).parts] == [2, 6]
    with pytest.raises(
        UserError, match="makes 2 of the 8 samples in a batch h36, which 4 replicas cannot share evenly"
    ):
        DetectorData(config, indexes, 8, 4)


@pytest.mark.parametrize("mix", [None, ConfigDict()])
def test_older_recipes_read_one_source(config, mixed_dir, mix):
    with config.unlocked():
        del config.data["mix"]
        if mix is not None:
            config.data.mix = mix
    assert [part.source.name for part in DetectorStage(config, mixed_dir).data.parts] == ["h36"]
    assert set(fingerprint(config, mixed_dir)) == {"records"}


def test_photographs_alone_need_no_other_records(config, tmp_path):
    photos = write_photos(tmp_path, count=40)
    config.data.mix.h36, config.data.mix.mpii = 0.0, 0.5
    stage = DetectorStage(config, str(tmp_path))
    (part,) = stage.data.parts
    assert len(part.training) + len(part.validation) == len(photos)
    assert set(fingerprint(config, str(tmp_path))) == {"photos"}


def test_few_photographs_are_enough_but_one_is_not(config, tmp_path):
    config.data.mix.h36 = 0.0
    write_photos(tmp_path / "few", count=5, files=1)
    (part,) = DetectorStage(config, str(tmp_path / "few")).data.parts
    assert len(part.validation) >= 1 and len(part.training) >= 1
    write_photos(tmp_path / "one", count=1, files=1)
    with pytest.raises(UserError, match="one/mpii has 1 photographs, too few to hold some of them out"):
        DetectorStage(config, str(tmp_path / "one"))


def test_a_validation_without_a_joint_is_named(config, mixed_dir):
    stage = DetectorStage(config, mixed_dir)
    (batch,) = list(stage.validation_images["h36"])[:1]
    stage.validation_images["h36"] = [batch | {"pose2d_crop": batch["pose2d_crop"] - 900}]
    with pytest.raises(UserError, match="no joint of the h36 images for validation is inside its crop"):
        stage.validate()


def test_a_mixture_of_nothing_is_refused(config, mixed_dir, tmp_path):
    config.data.mix.h36 = config.data.mix.mpii = 0.0
    with pytest.raises(UserError, match=r"config.data.mix has no share above 0: set one of config.data.mix.h36"):
        trainer.train(config, mixed_dir, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_missing_photos_are_named(config, tmp_path):
    records.write(f"{tmp_path}/h36/a.tfrecord", [render_sample(0, 0, 1), render_sample(0, 1, 8)], records.H36M)
    with pytest.raises(UserError, match=f"{tmp_path}/mpii contains no records"):
        DetectorStage(config, str(tmp_path))


def test_each_source_is_validated_and_their_weighted_mean_selects_the_best_weights(config, mixed_dir):
    stage = DetectorStage(config, mixed_dir)
    offsets = iter([(3.0, 4.0), (0.0, 10.0)])  # 5 px on rendered people, 10 px on photos
    for name, offset in zip(("h36", "mpii"), offsets):
        batches = [batch | {"offset": tf.constant(offset)} for batch in stage.validation_images[name]]
        stage.validation_images[name] = batches
    shown = [batch for name in ("h36", "mpii") for batch in stage.validation_images[name]]
    answers = iter([(batch["pose2d_crop"] + batch["offset"], None) for batch in shown])
    stage._detect = lambda images: next(answers)
    errors = stage.validate()
    assert errors["h36/pixel_error"] == pytest.approx(5, abs=1e-3)
    assert errors["mpii/pixel_error"] == pytest.approx(10, abs=1e-3)
    assert errors["pixel_error"] == pytest.approx(0.25 * 5 + 0.75 * 10, abs=1e-3)
    assert set(errors) == {"pixel_error", *(f"{s}/{m}" for s in ("h36", "mpii") for m in ("pixel_error", "pck2d"))}


def test_joints_without_a_label_do_not_count_in_losses(config, mixed_dir):
    config.loss.distribution = config.loss.heatmap = config.loss.integral_l1 = 1.0
    config.augment.rotation, config.augment.scale, config.augment.flip = 180.0, 0.9, 0.5
    stage = DetectorStage(config, mixed_dir)
    (batch,) = stage.training_batches(0, Share()).take(1)
    images, pose2d = stage.augment(batch, [0, 0], 0.0)
    expected = np.asarray(geometry.labeled(batch["pose2d_crop"])).sum(axis=1)
    found = np.asarray(geometry.labeled(pose2d)).sum(axis=1)
    np.testing.assert_array_equal(found, expected)
    unlabeled = np.asarray(geometry.labeled(pose2d)) == 0
    assert not np.asarray(geometry.inside_crop(pose2d))[unlabeled].any()
    moved = tf.where(unlabeled[..., None], 10 * pose2d, pose2d)
    for one, other in zip(stage.losses((images, pose2d)).values(), stage.losses((images, moved)).values()):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_interrupted_run_of_a_mixture_ends_as_if_it_had_not_been(config, mixed_dir, tmp_path, monkeypatch):
    config.train.checkpoint_every_minutes = 0.0
    config.train.steps_per_call = 2
    trainer.train(config, mixed_dir, str(tmp_path / "whole"))
    saved = trainer.Run.maybe_save

    def stop(run, stopped):
        saved(run, stopped)
        if run.state.step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Run, "maybe_save", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(config, mixed_dir, str(tmp_path / "run"))
    monkeypatch.undo()
    trainer.train(config, mixed_dir, str(tmp_path / "run"))
    whole, resumed = latest(tmp_path / "whole"), latest(tmp_path / "run")
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert set(data) == {"records", "photos", "samples"} and len(data["photos"]) == 3


def test_resuming_with_other_photos_is_refused(config, mixed_dir, tmp_path):
    config.train.epochs = 0.2
    trainer.train(config, mixed_dir, str(tmp_path / "run"))
    other = tmp_path / "data"
    records.write(f"{other}/h36/a.tfrecord", records.read(f"{mixed_dir}/h36/a.tfrecord", records.H36M), records.H36M)
    write_photos(other, count=59)
    with pytest.raises(UserError, match="photos|mpii"):
        trainer.train(config, str(other), str(tmp_path / "run"))


def test_a_training_says_when_batches_mix_badly_until_the_records_are_shuffled(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", 4)
    config.data.mix.h36, config.data.mix.mpii = 1.0, 0.0
    image = render_sample(0, 0, 1)
    samples = [image | {"subject": 1, "action": 2 + i // 10} for i in range(60)] + [image | {"subject": 8, "action": 2}]
    records.write(f"{tmp_path}/data/h36/a.tfrecord", samples, records.H36M)
    shuffle_records(f"{tmp_path}/data", f"{tmp_path}/shuffled", shards=1)
    config.train.epochs = 0.01
    trainer.train(config, f"{tmp_path}/data", f"{tmp_path}/before")
    said = capsys.readouterr().err
    assert "\nbatches of 8 will show about 2 different scenes (a subject's action) instead of 5, because" in said
    trainer.train(config, f"{tmp_path}/shuffled", f"{tmp_path}/after")
    assert "scenes" not in capsys.readouterr().err


def test_photographs_have_no_scenes(config, mixed_dir, monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", 1)
    config.data.mix.h36, config.data.mix.mpii = 0.0, 1.0
    assert DetectorStage(config, mixed_dir).notes() == []

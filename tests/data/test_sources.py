"""Tests of photographs with MPII's joints as training samples: pixels, joints by name, and what is not labeled."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import geometry, skeleton
from pose_tf.data import pipeline, records
from pose_tf.data.graph_records import named_errors
from pose_tf.data.pipeline import Share
from pose_tf.data.record_index import index_records
from pose_tf.data.sources import FOLDS, H36M, MPII, held_out
from pose_tf.errors import UserError
from tests.data.photos import make_photo, write_photos

EVERYBODY = range(FOLDS)
SAME_NAMES = {  # Human3.6M's joint: MPII's joint, written down from the two papers
    "RHip": 2, "RKnee": 1, "RFoot": 0, "LHip": 3, "LKnee": 4, "LFoot": 5, "Thorax": 7, "Neck/Nose": 8, "Head": 9,
    "LShoulder": 13, "LElbow": 14, "LWrist": 15, "RShoulder": 12, "RElbow": 11, "RWrist": 10,
}  # fmt: skip


def parse(photo):
    return MPII.parse(tf.constant(records.encode(photo, records.MPII)))


def joint(sample, name):
    return np.asarray(sample["pose2d_crop"])[skeleton.H36M.index(name)]


def test_an_image_fills_the_crop_and_its_joints_move_along():
    """An image of 120x80 becomes 256x171 in the middle: twice as large plus a seventh, 43 pixels of border above."""
    photo = make_photo(200)
    sample = parse(photo)
    image = sample["image"].numpy()
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8
    assert np.ptp(image[45:211]) <= 2 and abs(int(image[128, 128, 0]) - 200) <= 2
    np.testing.assert_array_equal(image[:42].reshape(-1, 3), np.tile([[124, 116, 104]], (42 * 256, 1)))
    scale = 256 / 120
    for name, number in SAME_NAMES.items():
        expected = (photo["pose2d"][number] + 0.5) * scale - 0.5 + (0, (256 - 80 * scale) / 2)
        np.testing.assert_allclose(joint(sample, name), expected, atol=1e-3, err_msg=name)


def test_an_image_of_the_crops_size_keeps_its_pixels(rng):
    import cv2

    photo = make_photo(1, (256, 256))
    noise = cv2.resize(rng.integers(0, 256, (20, 20, 3), np.uint8), (256, 256))
    photo["image"] = cv2.imencode(".jpg", noise)[1].tobytes()
    sample = parse(photo)
    np.testing.assert_array_equal(sample["image"], tf.io.decode_jpeg(photo["image"]))
    np.testing.assert_allclose(joint(sample, "Head"), photo["pose2d"][9], atol=1e-4)


def test_the_hip_is_the_middle_of_the_hip_joints():
    photo = make_photo(3, (256, 256))
    middle = (photo["pose2d"][2] + photo["pose2d"][3]) / 2
    np.testing.assert_allclose(joint(parse(photo), "Hip"), middle, atol=1e-4)
    without_pelvis = make_photo(3, (256, 256), unlabeled=[6])
    np.testing.assert_allclose(joint(parse(without_pelvis), "Hip"), middle, atol=1e-4)
    without_one = make_photo(3, (256, 256), unlabeled=[2])
    np.testing.assert_allclose(joint(parse(without_one), "Hip"), photo["pose2d"][6], atol=1e-4)
    without_both = make_photo(3, (256, 256), unlabeled=[2, 6])
    assert geometry.labeled(parse(without_both)["pose2d_crop"])[0] == 0


def test_what_is_not_labeled_has_no_weight():
    sample = parse(make_photo(5, unlabeled=[0, 15]))
    names = {name for name, known in zip(skeleton.H36M.joints, geometry.labeled(sample["pose2d_crop"])) if not known}
    assert names == {"Spine", "RFoot", "LWrist"}
    inside = geometry.inside_crop(sample["pose2d_crop"]).numpy()
    assert [inside[skeleton.H36M.index(name)] for name in sorted(names)] == [0, 0, 0]
    assert inside.sum() == 14
    assert np.isnan(sample["pose3d"]).all() and sample["action"] == -1


def test_one_photo_in_20_is_held_out():
    photos = [records.encode(make_photo(number, (16, 16)), records.MPII) for number in range(1000)]
    subject = np.array([MPII.decode(photo, "here")["subject"] for photo in photos])
    assert 30 < np.isin(subject, held_out(MPII, subject, ())).sum() < 70


def test_decoding_outside_of_graphs_gives_the_same():
    for number in range(4):
        serialized = records.encode(make_photo(number, (90, 130), unlabeled=[number]), records.MPII)
        decoded, parsed = MPII.decode(serialized, "here"), MPII.parse(tf.constant(serialized))
        assert set(parsed) == {*decoded, "image"}
        for key, value in decoded.items():
            np.testing.assert_array_equal(value, parsed[key], err_msg=key)


def test_photos_are_divided_into_groups_that_stay_the_same(tmp_path):
    write_photos(tmp_path)
    index = index_records(str(tmp_path), kind="mpii")
    assert len(index.poses) == 60 and len(np.unique(index.poses.subject)) > 12
    again = index_records(str(tmp_path), kind="mpii")  # the stored index
    for key in ("pose2d_crop", "pose3d", "subject", "action"):
        np.testing.assert_array_equal(getattr(again.poses, key), getattr(index.poses, key))
    assert (tmp_path / ".pose_tf" / "index-mpii.npz").exists()
    found = [
        number
        for batch in pipeline.labeled_images(index, [int(index.poses.subject[0])], 8)
        for number in batch["image"][:, 128, 128, 0].numpy().tolist()
    ]
    assert len(found) == np.sum(index.poses.subject == index.poses.subject[0])


def test_the_group_of_a_photo_depends_on_its_record_alone(tmp_path):
    def groups(photos, files):
        for i in range(files):
            records.write(f"{tmp_path}/{files}/mpii/{i}", photos[i::files], records.MPII)
        poses = index_records(f"{tmp_path}/{files}", kind="mpii").poses
        heads = np.round(poses.pose2d_crop[:, skeleton.H36M.index("Head")], 1).tolist()  # tell photos apart
        return dict(zip(map(tuple, heads), poses.subject.tolist(), strict=True))

    photos = [make_photo(number) for number in range(40)]
    one = groups(photos, 1)
    assert len(one) == 40 and groups(photos[::-1], 3) == one
    assert FOLDS == 20 and {*one.values()} <= {*range(20)} and len({*one.values()}) > 10


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_epoch_holds_every_photo_once_and_goes_on_exactly(tmp_path, hosts):
    write_photos(tmp_path)
    index = index_records(str(tmp_path), kind="mpii")

    def levels(host, start_step, steps):
        share = Share(host, 1, hosts)
        batches = pipeline.detector_batches(index, EVERYBODY, 6, seed=0, start_step=start_step, share=share)
        return [b["image"][:, 128, 128, 0].tolist() for b in batches.take(steps).as_numpy_iterator()]

    epoch = [levels(host, 0, 10) for host in range(hosts)]
    seen = sorted(level for host in epoch for batch in host for level in batch)
    assert len(seen) == 60 and np.abs(np.array(seen) - np.arange(1, 61)).max() <= 2  # JPEG rounds levels
    for host in range(hosts):
        assert levels(host, 7, 3) == epoch[host][7:]


def test_photos_of_upper_bodies_are_read(tmp_path):
    photos = [make_photo(number, unlabeled=range(8)) for number in range(12)]
    records.write(f"{tmp_path}/mpii/a", photos, records.MPII)
    assert len(index_records(str(tmp_path), kind="mpii").poses) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pose2d: pose2d / 100, "poses are .* wide or high; are these normalized coordinates"),
        (lambda pose2d: pose2d + 300, "only 0% of their joints are inside; are these pixels of the whole image"),
    ],
)
def test_joints_that_are_not_in_pixels_of_the_image_are_refused(tmp_path, change, words):
    photos = [make_photo(number) for number in range(12)]
    for photo in photos:
        photo["pose2d"] = change(photo["pose2d"])
    records.write(f"{tmp_path}/mpii/a", photos, records.MPII)
    with pytest.raises(UserError, match=f"mpii: 'pose2d' must be in pixels of the image, but in the median .*{words}"):
        index_records(str(tmp_path), kind="mpii")


FAULTS = {
    "no image": (lambda e: e.features.feature["image"].bytes_list.value.__setitem__(0, b"text"), "'image' is not"),
    "fewer joints": (
        lambda e: e.features.feature["pose2d"].bytes_list.value.__setitem__(0, bytes(120)),
        "'pose2d' has 120 bytes, expected 128",
    ),
    "no visibility": (lambda e: e.features.feature.pop("visibility"), "key 'visibility' is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_photo_is_named_or_left_out(tmp_path, rewrite, fault, capfd):
    spoil, words = FAULTS[fault]
    photos = [make_photo(number) for number in range(1, 9)]
    path = tmp_path / "mpii" / "a"
    records.write(str(path), photos, records.MPII)
    good = index_records(str(tmp_path), kind="mpii")
    rewrite(path, records.MPII, lambda number, example: spoil(example) and None if number == 5 else None, photos)
    with pytest.raises(UserError, match=f"{path} record 5: {words}"):
        index_records(str(tmp_path), kind="mpii")
    with pytest.raises(UserError, match=f"{path} record 5: {words}"), named_errors(["another", str(path)]):
        list(pipeline.detector_batches(good, EVERYBODY, 8, seed=0, first_file=1).take(1))
    index = index_records(str(tmp_path), "skip", "mpii")
    assert len(index.poses) == 7
    (batch,) = pipeline.detector_batches(index, EVERYBODY, 7, seed=0, on_damage="skip").take(1)
    assert np.abs(np.sort(batch["image"][:, 128, 128, 0]) - [1, 2, 3, 4, 5, 7, 8]).max() <= 2
    assert batch["skipped"].numpy().sum() <= 1
    assert "skipping" in capfd.readouterr().err


def test_two_kinds_of_records_share_every_batch(people, tmp_path):
    write_photos(tmp_path)
    h36m, photos = index_records(people.data_dir), index_records(str(tmp_path), kind="mpii")
    parts = [
        pipeline.detector_batches(h36m, (1, 5, 6), 2, seed=0),
        pipeline.detector_batches(photos, EVERYBODY, 3, seed=0),
    ]
    for batch in pipeline.mixed(parts).take(4):
        assert batch["image"].shape == (5, 256, 256, 3)
        is_photo = np.asarray(geometry.labeled(batch["pose2d_crop"]))[:, skeleton.H36M.index("Spine")] == 0
        assert is_photo.tolist() == [False, False, True, True, True]


def test_of_people_without_numbers_the_first_group_is_held_out():
    assert held_out(H36M, np.array([1, 5, 8, 9]), (8, 9)) == [8, 9]
    assert held_out(MPII, np.array([7, 3, 3, 12]), (8, 9)) == [3]

"""Tests of the crops that exported models are calibrated with and compared on."""

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.export import examples
from pose_tf.geometry import UNLABELED_PX
from pose_tf.skeleton import H36M
from pose_tf.synthetic.sample import render_sample
from tests.data.photos import write_photos


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data directory with 12 rendered people in two files, and the samples."""
    folder = tmp_path_factory.mktemp("people")
    samples = [render_sample(0, number, 1) for number in range(12)]
    for shard in range(2):
        records.write(f"{folder}/h36/{shard}.tfrecord", samples[shard::2], records.H36M)
    return folder, samples


def test_every_third_record_of_each_file_is_taken_with_its_labels(people):
    folder, samples = people
    found = examples.read(str(folder), 10, H36M)
    assert len(found) == 4 and found.origin == "records of h36"
    for sample in (samples[number] for number in (0, 6, 1, 7)):
        (place,) = [i for i in range(4) if np.array_equal(found.images[i], sample["image"])]
        np.testing.assert_array_equal(found.pose2d[place], sample["pose2d_crop"])
    assert len(found[1::2]) == 2


def test_both_kinds_have_equal_shares(people, tmp_path):
    write_photos(tmp_path)
    (tmp_path / "h36").symlink_to(people[0] / "h36")
    found = examples.read(str(tmp_path), 7, H36M)
    is_photo = found.images[:, 100:156, 100:156].std(axis=(1, 2, 3)) < 2  # of one color
    assert (len(found), is_photo.sum()) == (7, 4)
    assert found.origin == "records of h36 and mpii"
    assert found.images.dtype == np.uint8 and found.images.shape == (7, 256, 256, 3)
    gray = found.images[is_photo, 128, 128, 0]
    assert len(set(gray.tolist())) == 4 and gray.max() <= 60  # the numbers of the photos


def test_damaged_records_are_named(people, tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path} contains no records; .* in h36/ or mpii/$"):
        examples.read(str(tmp_path), 4, H36M)
    (tmp_path / "h36").mkdir()
    (tmp_path / "h36" / "a").write_bytes((people[0] / "h36" / "0.tfrecord").read_bytes()[:99])
    with pytest.raises(UserError, match="h36/a is cut: the end of its ZLIB stream is missing"):
        examples.read(str(tmp_path), 4, H36M)


def test_rendered_people_have_no_labels():
    found = examples.rendered(2, H36M)
    np.testing.assert_array_equal(found.images[1], render_sample(0, 1, 5)["image"])
    assert (found.pose2d == UNLABELED_PX).all() and found.pose2d.shape == (2, 17, 2)

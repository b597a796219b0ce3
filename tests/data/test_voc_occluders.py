"""Tests of the occluder dataset: the test case of TensorFlow Datasets, and the way from an archive to a bank."""

import hashlib
import operator
import pathlib
import tarfile
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pose_tf.data.occluders import OccluderBank
from pose_tf.data.voc_occluders import voc_occluders_dataset_builder
from pose_tf.errors import UserError
from tests.data.voc_images import write_image

ARCHIVE = "VOCtrainval_11-May-2012.tar"


def write_voc(folder):
    """Three usable objects, and one damaged image."""
    voc = pathlib.Path(folder) / "VOCdevkit" / "VOC2012"
    write_image(voc, "a", [(10, 20, 70, 60, "chair", 0, 0), (80, 20, 150, 110, "person", 0, 0)])
    write_image(voc, "b", [(0, 0, 80, 120, "car", 0, 0), (81, 0, 160, 120, "car", 0, 0)])
    (voc / "Annotations" / "c.xml").write_text("damaged")
    return voc


class VocOccludersTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = voc_occluders_dataset_builder.Builder
    SPLITS = {"train": 3}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls.folder.name
        write_voc(cls.folder.name)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()


@pytest.fixture
def archive(tmp_path):
    write_voc(tmp_path)
    path = tmp_path / "manual" / ARCHIVE
    path.parent.mkdir()
    with tarfile.open(path, "w") as file:
        file.add(tmp_path / "VOCdevkit", "VOCdevkit")
    return path


def test_an_archive_of_the_registered_checksum_becomes_a_bank(archive, tmp_path, monkeypatch, capsys):
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    registered = tfds.download.checksums.UrlInfo(archive.stat().st_size, checksum, ARCHIVE)
    address = f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{ARCHIVE}"
    monkeypatch.setattr(voc_occluders_dataset_builder.Builder, "url_infos", {address: registered})
    bank = OccluderBank.from_tfds(f"{tmp_path}/tfds", str(archive.parent))
    output = capsys.readouterr()
    assert "c.xml cannot be read" in output.out + output.err
    expected = OccluderBank.from_voc(f"{tmp_path}/VOCdevkit/VOC2012")
    key = operator.attrgetter("shape")
    for picture, same in zip(sorted(bank.objects, key=key), sorted(expected.objects, key=key), strict=True):
        np.testing.assert_array_equal(picture, same)

    archive.unlink()  # the prepared data set is reused
    assert len(OccluderBank.from_tfds(f"{tmp_path}/tfds")) == 3


def test_another_archive_and_a_missing_one_are_refused(archive, tmp_path):
    with pytest.raises(UserError, match="has wrong checksum"):
        OccluderBank.from_tfds(f"{tmp_path}/tfds", str(archive.parent))
    with pytest.raises(UserError, match=f"tfds has no {ARCHIVE}"):
        OccluderBank.from_tfds(f"{tmp_path}/tfds", f"{tmp_path}/tfds")

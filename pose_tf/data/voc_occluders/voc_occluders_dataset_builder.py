"""A TensorFlow dataset of the objects of Pascal VOC 2012 that can be pasted over people."""

import os
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import download_manager, extractor, util

from pose_tf.data.pascal_voc import cut_out_all
from pose_tf.errors import UserError

HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
ARCHIVE = "VOCtrainval_11-May-2012.tar"


class Builder(tfds.core.GeneratorBasedBuilder):
    """Cuts the objects out of VOC 2012. The archive is downloaded unless `manual_dir` contains it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            description="Objects of Pascal VOC 2012, cut out by their segmentation: no person, not difficult, not "
            "truncated, at least 500 pixels; at half size, with a softened rim (Sárándi et al., 2018).",
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 4))}),
            homepage=HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download_and_extract(HOMEPAGE + ARCHIVE))}

    def _generate_examples(self, path):
        for name, occluder in cut_out_all(str(path / "VOCdevkit" / "VOC2012")):
            yield name, {"image": occluder}


def load_occluders(data_dir: str | None, manual_dir: str | None) -> Iterator[np.ndarray]:
    """The dataset's objects, uint8 [h, w, 4]. Prepares the dataset if necessary. See `OccluderBank.from_tfds`."""
    if manual_dir and not os.path.exists(os.path.join(manual_dir, ARCHIVE)):
        raise UserError(f"{manual_dir} has no {ARCHIVE}")
    builder = Builder(data_dir=data_dir)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    except (OSError, util.DownloadError, download_manager.NonMatchingChecksumError, extractor.ExtractError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise UserError(f"{HOMEPAGE}{ARCHIVE} cannot be prepared in {builder.data_path}: {reason}") from None
    for example in tfds.as_numpy(builder.as_dataset(split="train")):
        yield example["image"]

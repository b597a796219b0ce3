"""The two kinds of labeled records, which training reads as one: Human3.6M's and MPII's."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.cropping import square_crop
from pose_tf.data import graph_records, records
from pose_tf.geometry import UNLABELED_PX, Crop
from pose_tf.skeleton import DERIVED, ROOT, Skeleton

KEYS = ("image", "pose2d_crop", "pose3d", "subject", "action")
"""The fields of a sample of any source."""
FOLDS = 20
"""MPII's records do not name their people, so a hash of the record divides them into this many groups of equal size,
which take the place of subjects."""
DEFAULT_MIX = {"h36": 1.0, "mpii": 0.0}
"""The shares of recipes that were written before there were several sources, and of lifters."""
PHOTOGRAPHS = dataclasses.replace(
    skeleton.H36M,
    name="photographs",
    joints=tuple("Neck" if joint == "Neck/Nose" else joint for joint in skeleton.H36M.joints),
)
"""The joints of samples of MPII's records: Human3.6M's, but the neck is no nose, which Human3.6M's Neck/Nose can be."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A kind of labeled records.

    Attributes:
        name: name of the folder in the data directory.
        schema: what the records hold.
        key_2d: the field with the 2D joints.
        parse: function of a serialized record in a tf.data graph: string scalar -> {key of KEYS: tensor}. Joints and
            poses without a label are `UNLABELED_PX` and NaN, an unknown action is -1.
        decode: the same outside of graphs, without the image: (bytes, place for messages) -> {key: array}. Raises a
            UserError for a damaged record, as `records.decode` does.
        skeleton: of the samples.
    """

    name: str
    schema: records.Schema
    key_2d: str
    parse: Callable
    decode: Callable
    skeleton: Skeleton

    @property
    def has_pose3d(self) -> bool:
        """Whether the samples have 3D poses and the numbers of their people, as Human3.6M's records do."""
        return self.name == "h36"

    @property
    def fields(self) -> dict[str, records.Raw | records.Number]:
        """The fields of a sample, with the shapes and types of Human3.6M's records."""
        schema = records.h36m(len(self.skeleton.joints))
        return {key: schema.fields[key] for key in KEYS}


@functools.lru_cache
def h36m(own: Skeleton = skeleton.H36M) -> Source:
    """Records of `h36` with the joints of a skeleton."""
    schema = records.h36m(len(own.joints))
    read = dataclasses.replace(schema, fields={key: schema.fields[key] for key in KEYS})  # others may be damaged

    def parse(serialized):
        return graph_records.parse(serialized, read)

    def decode(serialized, where):
        sample = records.decode(serialized, read, where)
        del sample["image"]
        return sample

    return Source("h36", schema, "pose2d_crop", parse, decode, own)


@functools.lru_cache
def mpii(own: Skeleton = skeleton.MPII) -> Source:
    """Records of `mpii` with the joints of a skeleton. Samples of MPII's 16 joints have those of `PHOTOGRAPHS`."""
    schema = records.mpii(len(own.joints))
    joints = PHOTOGRAPHS if own == skeleton.MPII else own
    labels_of = _photo_labels(own, joints)

    def parse(serialized):
        sample = graph_records.parse(serialized, schema)
        image = sample["image"]
        size = tf.shape(image)[:2]
        labels = labels_of(serialized, sample["pose2d"], sample["visibility"], size)
        return {"image": tf.ensure_shape(square_crop(image, _whole(size)), records.IMAGE_SHAPE), **labels}

    def decode(serialized, where):
        sample = records.decode(serialized, schema, where)
        size = tf.shape(tf.io.decode_jpeg(sample["image"]))[:2]
        labels = labels_of(serialized, sample["pose2d"], sample["visibility"], size)
        return {key: value.numpy() for key, value in labels.items()}

    return Source("mpii", schema, "pose2d", parse, decode, joints)


def _whole(size):
    """The crop that shows a whole image, with borders if it is not square. `size` is its height and width."""
    return Crop.around(tf.cast(tf.concat([[0, 0], size[::-1]], axis=0), tf.float32), 1.0)


def _photo_labels(own, joints):
    """A function of a photograph's record that returns the fields of KEYS except for the image.

    Args:
        own: skeleton of the record.
        joints: skeleton of the result. Joints map by name. The hip is the middle of the hip joints, as in motion
            capture, which MPII's pelvis is only roughly.
    """
    hip, hips = own.find(ROOT), [own.find(joint) for joint in DERIVED[ROOT].between]
    count, (target, source) = len(own.joints), zip(*joints.shared_with(own))

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.string),
            tf.TensorSpec([count, 2], tf.float32),
            tf.TensorSpec([1, count], tf.int64),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def labels(serialized, pose2d, visibility, size):
        seen = tf.reshape(visibility, [-1]) > 0
        if None not in hips:
            both_hips = seen[hips[0]] & seen[hips[1]]
            middle = (pose2d[hips[1]] + pose2d[hips[0]]) / 2
            pose2d = tf.tensor_scatter_nd_update(pose2d, [[hip]], tf.where(both_hips, middle, pose2d[hip])[None])
            seen = tf.tensor_scatter_nd_update(seen, [[hip]], (seen[hip] | both_hips)[None])
        pose2d = tf.where(seen[:, None], _whole(size).to_crop(pose2d), UNLABELED_PX)
        return {
            "pose2d_crop": tf.tensor_scatter_nd_update(
                tf.fill([len(joints.joints), 2], UNLABELED_PX),
                [[joint] for joint in target],
                tf.gather(pose2d, source),
            ),
            "pose3d": tf.fill([len(joints.joints), 3], np.float32(np.nan)),
            "subject": tf.strings.to_hash_bucket_fast(serialized, FOLDS),
            "action": tf.constant(-1, tf.int64),
        }

    return labels


H36M, MPII = h36m(), mpii()
"""The sources of records with the joints of these data sets."""


def source_of(data_dir: str, kind: str) -> Source:
    """The labeled records in `data_dir/kind`, which may have their own joints.

    Raises:
        UserError: the file that names their joints is damaged.
    """
    return {"h36": h36m, "mpii": mpii}[kind](records.skeleton_of(os.path.join(data_dir, kind)))


def held_out(source: Source, subject: np.ndarray, validation_subjects) -> list[int]:
    """The subjects that a recipe holds out for validation.

    Args:
        source: the kind of records.
        subject: int [N]: the subjects of all samples.
        validation_subjects: those that the recipe names. Photographs do not name their people; the first existing
            group of `FOLDS` is held out.
    """
    return list(validation_subjects) if source.has_pose3d else np.unique(subject)[:1].tolist()


def mix_of(config) -> dict[str, float]:
    """The sources that a recipe reads: {name: share of a batch above 0}, with a sum of 1."""
    mix = {name: share for name, share in (config.data.get("mix") or DEFAULT_MIX).items() if share}
    return {name: share / sum(mix.values()) for name, share in mix.items()}

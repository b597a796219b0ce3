"""The two kinds of labeled records, which training reads as one: Human3.6M's and MPII's."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.cropping import square_crop
from pose_tf.data import graph_records, records
from pose_tf.geometry import UNLABELED_PX, Crop
from pose_tf.skeleton import Skeleton

FIELDS = {key: records.H36M.fields[key] for key in ("image", "pose2d_crop", "pose3d", "subject", "action")}
"""The fields of a sample of any source, with the shapes and types of Human3.6M's records."""
FOLDS = 20
"""MPII's records do not name their people, so a hash of the record divides them into this many groups of equal size,
which take the place of subjects."""
DEFAULT_MIX = {"h36": 1.0, "mpii": 0.0}
"""The shares of recipes that were written before there were several sources, and of lifters."""
HIP, RIGHT_HIP, LEFT_HIP = (skeleton.MPII.index(joint) for joint in ("Hip", "RHip", "LHip"))


@dataclasses.dataclass(frozen=True)
class Source:
    """A kind of labeled records.

    Attributes:
        name: name of the folder in the data directory.
        schema: what the records hold.
        key_2d: the field with the 2D joints.
        parse: function of a serialized record in a tf.data graph: string scalar -> {key of FIELDS: tensor}. Joints and
            poses without a label are `UNLABELED_PX` and NaN, an unknown action is -1.
        skeleton: of the samples. The neck of photographs is no nose, which Human3.6M's Neck/Nose can be.
        decode: the same outside of graphs, without the image: (bytes, place for messages) -> {key: array}. Raises a
            UserError for a damaged record, as `records.decode` does.
    """

    name: str
    schema: records.Schema
    key_2d: str
    parse: Callable
    decode: Callable
    skeleton: Skeleton = skeleton.H36M


def _parse_h36m(serialized):
    return graph_records.parse(serialized, records.H36M, FIELDS)


def _decode_h36m(serialized, where):
    schema = dataclasses.replace(records.H36M, fields=FIELDS)  # nothing reads the others, so they may be damaged
    sample = records.decode(serialized, schema, where)
    del sample["image"]
    return sample


def _parse_mpii(serialized):
    sample = graph_records.parse(serialized, records.MPII)
    image = sample["image"]
    size = tf.shape(image)[:2]
    labels = _labels_mpii(serialized, sample["pose2d"], sample["visibility"], size)
    return {"image": tf.ensure_shape(square_crop(image, _whole(size)), records.IMAGE_SHAPE), **labels}


def _decode_mpii(serialized, where):
    sample = records.decode(serialized, records.MPII, where)
    size = tf.shape(tf.io.decode_jpeg(sample["image"]))[:2]
    labels = _labels_mpii(serialized, sample["pose2d"], sample["visibility"], size)
    return {key: value.numpy() for key, value in labels.items()}


def _whole(size):
    """The crop that shows a whole image, with borders if it is not square. `size` is its height and width."""
    return Crop.around(tf.cast(tf.concat([[0, 0], size[::-1]], axis=0), tf.float32), 1.0)


@tf.function(
    input_signature=[
        tf.TensorSpec([], tf.string),
        tf.TensorSpec(records.MPII.fields["pose2d"].shape, tf.float32),
        tf.TensorSpec(records.MPII.fields["visibility"].shape, tf.int64),
        tf.TensorSpec([2], tf.int32),
    ]
)
def _labels_mpii(serialized, pose2d, visibility, size):
    """The fields of FIELDS except for the image.

    Joints map by name. Human3.6M's hip is the middle of its hip joints, which MPII's pelvis is only roughly.
    """
    seen = tf.reshape(visibility, [-1]) > 0
    both_hips = seen[RIGHT_HIP] & seen[LEFT_HIP]
    middle = (pose2d[RIGHT_HIP] + pose2d[LEFT_HIP]) / 2
    pose2d = tf.tensor_scatter_nd_update(pose2d, [[HIP]], tf.where(both_hips, middle, pose2d[HIP])[None])
    seen = tf.tensor_scatter_nd_update(seen, [[HIP]], (seen[HIP] | both_hips)[None])
    pose2d = tf.where(seen[:, None], _whole(size).to_crop(pose2d), UNLABELED_PX)
    own, other = zip(*skeleton.H36M.shared_with(skeleton.MPII))
    joints = len(skeleton.H36M.joints)
    return {
        "pose2d_crop": tf.tensor_scatter_nd_update(
            tf.fill([joints, 2], UNLABELED_PX), [[joint] for joint in own], tf.gather(pose2d, other)
        ),
        "pose3d": tf.fill([joints, 3], np.float32(np.nan)),
        "subject": tf.strings.to_hash_bucket_fast(serialized, FOLDS),
        "action": tf.constant(-1, tf.int64),
    }


H36M = Source("h36", records.H36M, "pose2d_crop", _parse_h36m, _decode_h36m)
MPII = Source(
    "mpii",
    records.MPII,
    "pose2d",
    _parse_mpii,
    _decode_mpii,
    dataclasses.replace(
        skeleton.H36M,
        name="photographs",
        joints=tuple("Neck" if joint == "Neck/Nose" else joint for joint in skeleton.H36M.joints),
    ),
)
SOURCES = {source.name: source for source in (H36M, MPII)}
"""Sources by name."""


def held_out(source: Source, subject: np.ndarray, validation_subjects) -> list[int]:
    """The subjects that a recipe holds out for validation.

    Args:
        source: the kind of records.
        subject: int [N]: the subjects of all samples.
        validation_subjects: those that the recipe names. Photographs do not name their people; the first existing
            group of `FOLDS` is held out.
    """
    return list(validation_subjects) if source is H36M else np.unique(subject)[:1].tolist()


def mix_of(config) -> dict[str, float]:
    """The sources that a recipe reads: {name: share of a batch above 0}, with a sum of 1."""
    mix = {name: share for name, share in (config.data.get("mix") or DEFAULT_MIX).items() if share}
    return {name: share / sum(mix.values()) for name, share in mix.items()}

"""What a run has saved."""

import tensorflow as tf

from pose_tf.workdir import Workdir


def weights(workdir):
    return Workdir(str(workdir)).load_best("lifter").get_weights()


def latest(workdir):
    """All values of the newest checkpoint by name."""
    newest = max(path for path in (workdir / "checkpoints").iterdir())
    reader = tf.train.load_checkpoint(str(newest / "ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT" not in name}

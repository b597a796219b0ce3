"""Where training runs."""

import tensorflow as tf

from pose_tf.errors import UserError


def make_strategy(name: str) -> tf.distribute.Strategy:
    """A distribution strategy by name.

    Args:
        name: `one_device`, `mirrored` (all GPUs of this machine), or `auto`: mirrored where there are several GPUs.

    Raises:
        UserError: there is no such strategy.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    raise UserError(f"config.strategy is '{name}'; it can be auto, one_device or mirrored")

"""Starting a training from weights that are there already."""

import os

import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training.checkpoints import checkpoint_steps

HEADS = {"final_layer"}  # layers that depend on the number of joints


def load_initial_weights(model: tf.keras.Model, path: str) -> list[str]:
    """Copies weights into a model, layer by layer. A head for another number of joints is left out.

    Args:
        model: to fill.
        path: a workdir (its best model), a .keras file, or a TensorFlow checkpoint of a training.

    Returns:
        Names of the layers that stay as they were.

    Raises:
        UserError: there is no such file, or its model is another one. The model is unchanged then.
    """
    source = _read(model, path)
    if type(source) is not type(model):
        raise UserError(
            f"config.init_from={path} is a {type(source).__name__}, the recipe's model a {type(model).__name__}"
        )
    layers = {layer.name: layer for layer in source.layers}
    values, left = {}, []
    for layer in model.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        given = [tuple(weight.shape) for weight in layers[layer.name].weights] if layer.name in layers else None
        if given == shapes:
            values[layer] = layers[layer.name].get_weights()
        elif layer.name in HEADS and given:
            left.append(layer.name)
        else:
            raise UserError(
                f"config.init_from={path} does not fit {model.name}: layer {layer.name} has weights of shapes "
                f"{given or 'none'}, the model's {shapes}"
            )
    if extra := layers.keys() - {layer.name for layer in model.layers}:
        raise UserError(f"config.init_from={path} does not fit {model.name}: it has a layer {min(extra)} more")
    for layer, weights in values.items():
        layer.set_weights(weights)
    return left


def _find_checkpoint(path):
    """Prefix of a checkpoint's files: of a training's checkpoint, of the newest of several, or the path itself."""
    steps = checkpoint_steps(path)
    folder = os.path.join(path, f"{steps[-1]:08d}") if steps else path
    if os.path.exists(os.path.join(folder, "ckpt.index")):
        return os.path.join(folder, "ckpt")
    return tf.train.latest_checkpoint(path) if os.path.isdir(path) else path


def _read(model, path):
    """The model that a path holds."""
    file = os.path.join(path, "best.keras") if os.path.exists(os.path.join(path, "best.keras")) else path
    if os.path.isfile(file):
        try:
            return tf.keras.models.load_model(file, compile=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"config.init_from: {file} cannot be loaded: {error}") from None
    prefix = _find_checkpoint(path)
    if not prefix or not os.path.exists(prefix + ".index"):
        raise UserError(f"config.init_from={path} is no workdir, .keras file or checkpoint")
    try:
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        config = model.get_config()
        last = len([layer for layer in model.layers if layer.weights]) - 1
        head = shapes.get(f"model/layer_with_weights-{last}/bias/.ATTRIBUTES/VARIABLE_VALUE")
        if model.layers[-1].name in HEADS and head:
            config["num_joints"] = head[0]
        source = type(model).from_config(config)
        tf.train.Checkpoint(model=source).restore(prefix).assert_existing_objects_matched().expect_partial()
    except (ValueError, AssertionError, tf.errors.OpError) as error:
        raise UserError(f"config.init_from: {prefix} does not fit {model.name}: {error}") from None
    return source

"""An exported model at work on image files: poses as JSON and as pictures."""

import os

import cv2
import numpy as np
import PIL.Image
import tensorflow as tf
import tqdm

from pose_tf import files, skeleton, viz
from pose_tf.errors import UserError, reason
from pose_tf.serving.crops import MAX_PIXELS

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
PICTURE_HEIGHT = 384
VIEWS_DEG = (0, 60, -90)


def load_model(path: str):
    """Loads the newest version of a model directory, or one version.

    Raises:
        UserError: there is none, or it cannot be loaded.
    """
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "saved_model.pb")):
        versions = [name for name in os.listdir(path) if name.isdigit()]
        if versions:
            path = os.path.join(path, max(versions, key=int))
    if not os.path.exists(os.path.join(path, "saved_model.pb")):
        raise UserError(f"--model={path} is not a SavedModel, nor a directory of numbered ones")
    try:
        return tf.saved_model.load(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"--model={path} cannot be loaded: {error}") from None


def find_images(path: str) -> list[str]:
    """The file itself, or the images of a folder, sorted.

    Raises:
        UserError: there is nothing.
    """
    if os.path.isdir(path):
        found = sorted(name for name in os.listdir(path) if name.lower().endswith(IMAGE_SUFFIXES))
        if not found:
            raise UserError(f"--input={path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
        return [os.path.join(path, name) for name in found]
    if not os.path.exists(path):
        raise UserError(f"--input={path} does not exist")
    return [path]


def read_image(path: str) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned upright as its EXIF data says.

    Raises:
        UserError: it is not an image, or too large.
    """
    try:
        with PIL.Image.open(path) as header:  # reads no pixels
            too_large = header.width * header.height > MAX_PIXELS
    except PIL.Image.DecompressionBombError:
        too_large = True
    except OSError:
        raise UserError(f"{path} is not an image that can be read") from None
    if too_large:
        raise UserError(f"{path} has too many pixels, more than {MAX_PIXELS:,}")
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} is not an image that can be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def predict_files(model, paths: list[str], output_dir: str, box=None) -> list[str]:
    """Estimates the person of each image and writes NAME.json and NAME.png.

    All images are read before anything is written, so a file that is not an image leaves no results behind.

    Args:
        model: from `load_model`.
        paths: image files.
        output_dir: where results go.
        box: x, y, width, height of the person in pixels; by default the image is a crop of one person.

    Returns:
        Paths of the pictures.

    Raises:
        UserError: a file is not an image, the box is not in it, or the directory cannot be written.
    """
    images = {path: read_image(path) for path in paths}
    pictures = []
    for path, image in tqdm.tqdm(images.items(), unit=" images", desc="poses"):
        try:
            pose = predict_image(model, image, box)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(f"{path}: {reason(error)}") from None
        name = os.path.join(output_dir, os.path.splitext(os.path.basename(path))[0])
        files.write_json(
            f"{name}.json",
            {
                "image": path,
                "joints": skeleton.H36M.joints,
                "pose2d_px": pose["pose2d"].tolist(),
                "pose3d_mm": pose["pose3d"].tolist(),
                "confidence": pose["confidence"].tolist(),
            },
        )
        viz.write_png(f"{name}.png", picture(image, pose))
        pictures.append(f"{name}.png")
    return pictures


def predict_image(model, image: np.ndarray, box=None) -> dict[str, np.ndarray]:
    """Runs the model on one image.

    Args:
        model: from `load_model`.
        image: uint8 [H, W, 3] RGB.
        box: x, y, width, height in pixels, or None.

    Returns:
        {"pose2d": [17, 2] px of the image, "pose3d": [17, 3] mm, "confidence": [17]}.
    """
    inputs = {"image_bytes": tf.io.encode_png(image, compression=1)[None]}
    signature = "serving_default"
    if box is not None:
        signature, inputs["box"] = "image_and_box", tf.constant([box], tf.float32)
    return {key: value[0].numpy() for key, value in model.signatures[signature](**inputs).items()}


def picture(image: np.ndarray, pose: dict[str, np.ndarray]) -> np.ndarray:
    """The image with its skeleton, and the 3D pose from three sides, in a row. uint8 [384, W, 3]."""
    scale = PICTURE_HEIGHT / image.shape[0]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(image, (max(round(image.shape[1] * scale), 1), PICTURE_HEIGHT), interpolation=interpolation)
    overlay = viz.draw_pose2d(shown, (pose["pose2d"] + 0.5) * scale - 0.5)
    return np.hstack([overlay] + [viz.draw_pose3d(pose["pose3d"], None, view, PICTURE_HEIGHT) for view in VIEWS_DEG])

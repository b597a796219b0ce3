"""Exports models of crops in one file, for LiteRT and ONNX Runtime, and compares them with the SavedModel."""

import os
from collections.abc import Callable

import numpy as np

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.export import comparison, litert, onnx
from pose_tf.export.examples import Examples
from pose_tf.export.model_card import describe
from pose_tf.export.signatures import make_signatures
from pose_tf.geometry import CROP_SIZE
from pose_tf.model_files import RUNTIMES, SIGNATURE
from pose_tf.models import PoseEstimator

ENDINGS = {"litert": ".tflite", "onnx": ".onnx"}
BATCH_SIZE = 16


class OneFileExporter:
    """Exports one model in several formats and precisions.

    Args:
        estimator: the model.
        examples: crops on which each file is compared with the SavedModel, with labels if there are any.
        representative: uint8 [N, 256, 256, 3]: other crops, which int8 needs.
        card: additional entries of the model card.
        limits: how far a file may be from the SavedModel, by precision.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        examples: Examples,
        representative: np.ndarray | None = None,
        card: dict | None = None,
        limits: dict[str, comparison.Limits] = comparison.LIMITS,
    ):
        self._signature = make_signatures(estimator)[SIGNATURE]
        self._estimator, self._examples, self._representative = estimator, examples, representative
        self._card = _of_crops(describe(estimator)) | (card or {})
        self._limits = limits
        self._expected = _estimate(self._signature, examples.images)

    def export(self, output_dir: str, format: str, precision: str) -> tuple[str, dict]:
        """Writes `OUTPUT_DIR/model_PRECISION.tflite` or `.onnx`; replaces an earlier one.

        Args:
            output_dir: directory of the file, such as one with TF Serving's versions, which ignores it.
            format, precision: see `pose_tf.choices.EXPORTS`.

        Returns:
            Path of the file, which appears complete or not at all; and the figures of `comparison.compare`.

        Raises:
            UserError: the file cannot be written, a package is missing, or the poses are too far from the SavedModel's.
        """
        path = os.path.join(output_dir, f"model_{precision}{ENDINGS[format]}")
        runtime = RUNTIMES[ENDINGS[format]]
        if format == "onnx":
            model = onnx.convert(self._signature)
        else:
            model = litert.convert(self._signature, self._estimator.detector.name, precision, self._representative)
        try:
            found = _estimate(runtime(model), self._examples.images)
            figures = comparison.compare(found, self._expected, self._examples, self._estimator.skeleton)
            comparison.check(figures, self._limits[precision])
        except UserError as error:
            raise UserError(f"{path} is not written: {error}") from None
        card = self._card | {"format": format, "precision": precision, "compared_with_saved_model": figures}
        files.write_bytes(path, runtime.attach(model, card))
        return path, figures


def _of_crops(card):
    """The card of a model that takes nothing but crops."""
    outputs = {name: text for name, text in card["outputs"].items() if name != "root3d"}
    outputs["pose2d"] = f"x right, y down, in pixels of the {CROP_SIZE}x{CROP_SIZE} crop; pixel centers at integers"
    return card | {"inputs": {"images": card["inputs"]["images"]}, "outputs": outputs}


def _estimate(run: Callable, images) -> dict[str, np.ndarray]:
    parts = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        parts.append(run(batch))
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}

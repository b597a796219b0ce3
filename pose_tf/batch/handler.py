"""What Beam's RunInference does with a chunk of inputs: reads its images, finds people and estimates their poses."""

import atexit
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler

from pose_tf.batch import storage
from pose_tf.batch.crops import read_crops
from pose_tf.batch.inputs import Chunk
from pose_tf.batch.tables import Rows
from pose_tf.errors import UserError
from pose_tf.predict.camera import CameraOptions, put_in_space, read_focal_35mm
from pose_tf.predict.finders import find_people
from pose_tf.predict.media import read_photo
from pose_tf.predict.model import CROPS_AT_ONCE, PoseModel, load
from pose_tf.predict.people import check_boxes
from pose_tf.predict.results import Person

MOST_BYTES = 1 << 29
"""The largest image file. The largest image has 2^26 pixels, of up to six bytes."""


class PoseHandler(ModelHandler[Chunk, Rows, PoseModel]):
    """Estimates the poses of all people in chunks of inputs.

    An element is a chunk, not an image, so that its rows can be written as soon as they are complete: Beam publishes
    rows of single images when it has all of them. Images are read here, one at a time, and crops of records
    `CROPS_AT_ONCE` at a time, so that neither the size of a chunk nor the number of inputs needs memory.

    Args:
        model: path or URL of an exported model; None for the starter.
        min_score: see `find_people`.
        camera: what is known of the camera of images.
    """

    def __init__(self, model: str | None, min_score: float | None, camera: CameraOptions):
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._model, self._min_score, self._camera = model, min_score, camera

    def load_model(self) -> PoseModel:
        tf.config.experimental.enable_tensor_float_32_execution(False)
        if self._model is None:
            model = load()
        else:
            with storage.on_disk(self._model) as path:
                model = load(path)
        atexit.register(model.__dict__.clear)  # TensorFlow prints errors if its functions outlive the interpreter
        return model

    def run_inference(self, batch: Sequence[Chunk], model: PoseModel, inference_args=None) -> Iterable[Rows]:
        return [self._estimate(chunk, model) for chunk in batch]

    def get_metrics_namespace(self) -> str:
        return "pose_tf"

    def _estimate(self, chunk, model):
        rows = Rows(chunk.name, model.skeleton)
        for one in chunk.inputs:
            if chunk.kind == "records":
                self._estimate_records(one, model, rows)
            else:
                self._estimate_image(one, model, rows)
        return rows

    def _estimate_image(self, one, model, rows):
        try:
            if one.problem:
                raise UserError(one.problem)
            data = storage.read(one.path, MOST_BYTES)
            image = read_photo(data, one.path)
            height, width = image.shape[:2]
            boxes, scores = find_people(image, self._min_score) if one.boxes is None else (one.boxes, None)
            boxes = check_boxes(boxes, width, height, one.path)
            camera = self._camera.camera(width, height, read_focal_35mm(data))
            (people,) = model.estimate([(image, boxes)], [camera], fit=one.boxes is None)
        except UserError as error:
            rows.add_error(one.file, None, str(error))
        else:
            rows.add(one.file, None, (width, height), people, scores)

    def _estimate_records(self, one, model, rows):
        batch = {}
        for number, found in read_crops(one.path, self._camera):
            if isinstance(found, UserError):
                rows.add_error(one.file, number, str(found))
                continue
            batch[number] = found
            if len(batch) == CROPS_AT_ONCE:
                _estimate_crops(one.file, batch, model, rows)
                batch = {}
        if batch:
            _estimate_crops(one.file, batch, model, rows)


def _estimate_crops(file, batch, model, rows):
    poses = model.crops(np.stack([found.image for found in batch.values()]))
    frame = model.card.get("frame", "camera")
    for i, (number, found) in enumerate(batch.items()):
        confidence = poses["confidence"][i]
        pose2d = found.crop.to_image(poses["pose2d"][i])
        pose3d, root3d = put_in_space(pose2d, poses["pose3d"][i], confidence, found.camera, frame, None, model.skeleton)
        person = Person(np.float32([0, 0, *found.size]), pose2d, pose3d, confidence, 1, root3d)
        rows.add(file, number, found.size, [person])

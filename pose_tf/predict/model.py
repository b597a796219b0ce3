"""The Python API: loads a model from a directory, a server or two runs, and applies it to images and videos."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from pose_tf import starter
from pose_tf.errors import UserError, needing_tensorflow
from pose_tf.geometry import CROP_SIZE
from pose_tf.images import MAX_PIXELS
from pose_tf.predict.backends import Backend, ModelFile, estimate_people, frame_of, open_exported
from pose_tf.predict.camera import Camera, CameraOptions, put_in_space, read_focal_35mm
from pose_tf.predict.finders import find_people
from pose_tf.predict.media import MediaError, read_photo
from pose_tf.predict.people import check_boxes, fitted
from pose_tf.predict.results import Frame, Person
from pose_tf.predict.smoothing import smooth_without_delay
from pose_tf.predict.video import PeopleInVideo, estimate_frames
from pose_tf.predict.video_files import Video
from pose_tf.skeleton import H36M, Skeleton, find_skeleton

PEOPLE_AT_ONCE = 8
CROPS_AT_ONCE = 32
"""The most that one request to a server may hold."""
Image = np.ndarray | str | os.PathLike | bytes


def load(
    source: str | os.PathLike | None = None,
    *,
    detector: str | os.PathLike | None = None,
    lifter: str | os.PathLike | None = None,
    skeleton: str | os.PathLike | None = None,
) -> "PoseModel":
    """Loads a model that estimates people's poses.

    Args:
        source: directory of an exported model (M for its newest version, or M/1), its .tflite or .onnx file, or address
            of a TF Serving server: `localhost:8500` (gRPC) or `http://localhost:8501` (REST). Without any argument,
            the starter is loaded, the model that comes with the package, in int8. `detector="starter",
            lifter="starter"` loads it in float32, which needs TensorFlow.
        detector: workdir of a detector's run, or of one that trained both stages, or `starter`; requires `lifter` and
            replaces `source`.
        lifter: workdir of a lifter's run, or of one that trained both stages, or `starter`.
        skeleton: name or file of the skeleton of a model on a server, which does not say which joints it has; None for
            Human3.6M's. Other models name their joints.

    Raises:
        UserError: the arguments do not name exactly one model, or the model cannot be loaded.
    """
    runs = [run for run in (detector, lifter) if run is not None]
    on_server = source is not None and not os.path.exists(os.fspath(source))
    if skeleton is not None and not on_server:
        raise UserError("skeleton is for models on a server; other models name their joints")
    if source is None and not runs:
        return PoseModel(ModelFile(starter.MODEL_FILE, starter.card()))
    if source is None and len(runs) == 2:
        return PoseModel(_of_runs(*map(os.fspath, runs)))
    if source is None or runs:
        raise UserError(
            "specify what to load: the directory of an exported model, the address of a server such as "
            "localhost:8500, or the directories of two runs, detector=… and lifter=…"
        )
    source = os.fspath(source)
    if not os.path.exists(source):
        with needing_tensorflow(f"{source} does not exist, and the address of a server"):
            from pose_tf.serving.client import Client, is_address

        if is_address(source):
            joints = H36M if skeleton is None else find_skeleton(os.fspath(skeleton), "skeleton")
            return PoseModel(Client(source, skeleton=joints))
        raise UserError(f"{source} does not exist and is not an address such as localhost:8500")
    return PoseModel(open_exported(source))


def _of_runs(detector, lifter):
    """The backend of a detector's and a lifter's run."""
    with needing_tensorflow("a run"):
        from pose_tf.evaluation.loading import load_estimator
        from pose_tf.predict.tensorflow_backends import KerasModels

    return KerasModels(load_estimator(detector, lifter))


class PoseModel:
    """Estimates the poses of people in photos, videos and crops. Use `pose_tf.load` to create one.

    Args:
        backend: runs the model.

    Attributes:
        joint_names: names of the J joints, in the order of the poses.
        bones: (child, parent) index pairs of joints.
        skeleton: both.
        card: description of the model, with the keys of an exported model's card.
    """

    def __init__(self, backend: Backend):
        self.skeleton = skeleton_of_card(backend.card)
        self.joint_names = self.skeleton.joints
        self.bones = self.skeleton.bones
        self.card = backend.card
        self._backend = backend

    def people(
        self, image: Image, boxes=None, *, min_score: float | None = None, camera: CameraOptions | None = None
    ) -> list[Person]:
        """Estimates the poses of the people in an image.

        Args:
            image: uint8 [H, W, 3] RGB; or the path or the bytes of a file, which is turned upright as its EXIF data
                says.
            boxes: float [N, 4]: x, y, width, height of each person in pixels of the upright image; None to find
                people, see `pose_tf.predict.finders.find_people`.
            min_score: minimum score of a person; a lower value finds more people and more false positives. None for
                the default of the finder that is installed.
            camera: what is known of the camera; None: the focal length in the EXIF data, else a guess.

        Returns:
            One `Person` for each box, or for each person found, the highest score first.

        Raises:
            UserError: the image cannot be read or is not such an array, a box lies outside of the image, or the model
                fails.
        """
        source = image
        image, name = _read(source)
        is_file = isinstance(source, bytes) or (isinstance(source, str | os.PathLike) and os.path.isfile(source))
        focal = read_focal_35mm(source) if is_file else None
        options = camera or CameraOptions()
        found = boxes is None
        if found:
            boxes, _ = find_people(image, min_score)
        boxes = check_boxes(boxes, *image.shape[1::-1], name)
        cameras = [options.camera(*image.shape[1::-1], focal)]
        return self.estimate([(image, boxes)], cameras, options.height, fit=found)[0]

    def estimate(
        self,
        images: Sequence[tuple[np.ndarray, np.ndarray]],
        cameras: Sequence[Camera],
        height: float | None = None,
        batch_size: int = PEOPLE_AT_ONCE,
        *,
        fit: bool = False,
    ) -> list[list[Person]]:
        """Estimates the poses of people with known boxes in several images.

        People from different images can share a request to a server.

        Args:
            images: for each, uint8 [H, W, 3] RGB and boxes float32 [N, 4] px, N ≥ 0, each of which overlaps the image.
            cameras: the camera of each image.
            height: height of the people in meters, if it is known.
            batch_size: number of people per call of the model.
            fit: fit the boxes to the joints that a first estimate finds, and estimate again. For boxes that a finder
                drew.

        Returns:
            For each image a list with one `Person` per box.

        Raises:
            UserError: the model fails.
        """
        poses = estimate_people(self._backend, images, cameras, batch_size)
        if fit:
            images = [
                (image, [self._fitted(box, pose) for box, pose in zip(boxes, found, strict=True)])
                for (image, boxes), found in zip(images, poses, strict=True)
            ]
            poses = estimate_people(self._backend, images, cameras, batch_size)
        return [
            [
                Person(box, **self._in_space(pose, camera, height), number=number)
                for number, (box, pose) in enumerate(zip(boxes, found, strict=True), 1)
            ]
            for (_, boxes), found, camera in zip(images, poses, cameras, strict=True)
        ]

    def _fitted(self, box, pose):
        joints = fitted(box, pose["pose2d"], pose["confidence"], self.skeleton)
        return box if joints is None else joints

    def _in_space(self, pose, camera, height):
        """A pose with the position of its hip."""
        frame = frame_of(self._backend)
        pose3d, root3d = put_in_space(
            pose["pose2d"], pose["pose3d"], pose["confidence"], camera, frame, height, self.skeleton
        )
        return pose | {"pose3d": pose3d, "root3d": root3d}

    def video(
        self,
        path: str | os.PathLike,
        boxes=None,
        *,
        min_score: float | None = None,
        smooth: bool = True,
        camera: CameraOptions | None = None,
    ) -> Iterator[Frame]:
        """Tracks the people in a video and estimates their poses frame by frame.

        Reads the file twice. The first pass finds and tracks people, before the first frame is returned. Smoothing
        needs the poses of all frames, too, before it returns the first.

        Args:
            path: video file.
            boxes: float [N, 4]: boxes of the people to track, in the first frame; None to find people.
            min_score: see `people`.
            smooth: smooth the poses over time.
            camera: what is known of the camera; None: a guess.

        Returns:
            An iterator over the frames. A person has the same `number` in all of them.

        Raises:
            UserError: the file is not a video; or, during iteration, it has no frames or the model fails.
        """
        video = Video(path)
        if boxes is not None:
            boxes = check_boxes(boxes, video.width, video.height, video.source)
        return self._video(video, boxes, min_score, smooth, camera or CameraOptions())

    def _video(self, video, boxes, min_score, smooth, options):
        followed = PeopleInVideo(video, boxes, min_score)
        camera = options.camera(video.width, video.height)
        estimated = estimate_frames(self, followed, camera, options.height, PEOPLE_AT_ONCE)
        frames = (frame for frame, _ in estimated)
        yield from smooth_without_delay(list(frames)) if smooth else frames

    def crops(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Estimates the poses of people in images that are crops already.

        Args:
            images: uint8 [N, 256, 256, 3] RGB, N ≥ 1.

        Returns:
            {"pose2d": float32 [N, J, 2] px of the crop, "pose3d": float32 [N, J, 3] mm, in the model's frame (`frame`
            in its card), "confidence": float32 [N, J]}.

        Raises:
            UserError: the images are not such an array, or the model fails.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or not len(images):
            wanted = f"uint8 [N, {CROP_SIZE}, {CROP_SIZE}, 3], N ≥ 1"
            raise UserError(f"crops must be {wanted}, not {images.dtype} {list(images.shape)}")
        parts = [
            self._backend.predict("images", {"images": images[start : start + CROPS_AT_ONCE]})
            for start in range(0, len(images), CROPS_AT_ONCE)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def skeleton_of_card(card: dict) -> Skeleton:
    """The skeleton of a model by its card; Human3.6M's for models of other programs, which have no card.

    Raises:
        UserError: the card's joints or bones are damaged.
    """
    if "joints" not in card or (card["joints"], card.get("bones")) == (
        list(H36M.joints),
        [list(b) for b in H36M.bones],
    ):
        return H36M
    try:
        joints = card["joints"]
        bones = [[joints[child], joints[parent]] for child, parent in card["bones"]]
        values = {"name": card.get("skeleton", "model"), "joints": joints, "bones": bones}
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"the model's card is damaged: its joints and bones do not fit ({error})") from None
    return Skeleton.from_json(values, "the model's card")


def _read(image):
    """Any kind of image as uint8 [H, W, 3], and its name for error messages."""
    if isinstance(image, str | os.PathLike):
        return read_photo(image), os.fspath(image)
    if isinstance(image, bytes):
        return read_photo(image), "the image"
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise MediaError(f"an image must be uint8 [H, W, 3] RGB, not {image.dtype} {list(image.shape)}")
    if image.size > 3 * MAX_PIXELS:
        raise MediaError(f"the image has too many pixels: more than {MAX_PIXELS:,}")
    return image, "the image"

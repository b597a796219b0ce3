"""Flags of predict and serve-client: inputs, people and outputs."""

from absl import flags

from pose_tf.errors import UserError, argument

INPUT = flags.DEFINE_string("input", None, "A photo, a video, a folder of both, or -N for camera N; - is camera 0.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "poses", "Directory of the results.")
_BOX = flags.DEFINE_string(
    "box",
    None,
    "Box of the person in each photo or a video's first frame: x,y,width,height in pixels; whole: the entire image.",
)
_BOXES = flags.DEFINE_string(
    "boxes", None, "CSV file with one line per person: file,x,y,width,height; file names without folders."
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score",
    None,
    "Minimum score of a person; lower finds more people and more false positives. Default: 0.5, or 0.9 for OpenCV's "
    "pedestrian detector.",
)
_SMOOTH = flags.DEFINE_bool("smooth", True, "Smooth the poses of a video over time.")
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames", 0, "Maximum number of frames of a video or camera; 0: all.", lower_bound=0
)
_INTRINSICS = flags.DEFINE_list(
    "intrinsics", None, "The camera: fx,cx,fy,cy in pixels of the upright image. Default: see --fov."
)
_FOV = flags.DEFINE_float(
    "fov",
    None,
    "Angle in degrees that the longer side of the image covers. Default: the focal length in a photo's EXIF data, else "
    "55.",
)
_HEIGHT = flags.DEFINE_float("height", None, "Height of the people in meters, which fixes the scale of their poses.")
_OUTPUTS = flags.DEFINE_list(
    "outputs", "overlay,views,page,json,csv,npz", "Results to write: these, and coco, COCO's results format."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos, and people, per batch.", lower_bound=1)


def require_input() -> None:
    """Raises UserError if there is no input. The input may be a flag or the only argument that is not a flag."""
    if INPUT.value is None:
        raise UserError("--input is missing; see --help")


def options():
    """The flags as `Options`, checked before a model is loaded."""
    from pose_tf.predict.camera import CameraOptions
    from pose_tf.predict.people import GivenBoxes
    from pose_tf.predict.predictor import Options

    if _BOX.value is not None and _BOXES.value is not None:
        raise UserError("give one of --box and --boxes")
    with argument("--boxes" if _BOX.value is None else "--box"):
        given = GivenBoxes(_BOX.value, _BOXES.value)
    try:
        intrinsics = None if _INTRINSICS.value is None else tuple(map(float, _INTRINSICS.value))
    except ValueError:
        raise UserError(f"--intrinsics={','.join(_INTRINSICS.value)} must be fx,cx,fy,cy in pixels") from None
    return Options(
        _OUTPUT_DIR.value,
        given,
        min_score=_MIN_SCORE.value,
        outputs=tuple(_OUTPUTS.value),
        batch_size=_BATCH_SIZE.value,
        smooth=_SMOOTH.value,
        max_frames=_MAX_FRAMES.value,
        camera=CameraOptions(intrinsics, _FOV.value, _HEIGHT.value),
    )

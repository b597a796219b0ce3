"""Flags that predict.py and serving_client.py share: what goes in, who is in it, and what comes out."""

from absl import flags

INPUT = flags.DEFINE_string("input", None, "A photo, a video, a folder of both, or -N for camera N; - is camera 0.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where results go.")
_BOX = flags.DEFINE_string(
    "box",
    None,
    "The person in every photo, or in a video's first picture: x,y,width,height in pixels; whole: fills it.",
)
_BOXES = flags.DEFINE_string(
    "boxes", None, "CSV file of people: file,x,y,width,height, a line for each; files without folders."
)
_MIN_SCORE = flags.DEFINE_float("min_score", 0.9, "Of people to be found: lower finds more, and more that is nobody.")
_SMOOTH = flags.DEFINE_bool("smooth", True, "Take the trembling out of the poses of a video.")
_MAX_FRAMES = flags.DEFINE_integer("max_frames", 0, "Of a video or camera; 0: all.", lower_bound=0)
_OUTPUTS = flags.DEFINE_list("outputs", "overlay,views,page,json,csv,npz", "Which results to write.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos, and people, at once.", lower_bound=1)
flags.mark_flags_as_required(["input", "output_dir"])


def options():
    """What the flags say is to be done, found to make sense before a model is loaded."""
    from pose_tf.predict.people import GivenBoxes
    from pose_tf.predict.predictor import Options

    return Options(
        _OUTPUT_DIR.value,
        GivenBoxes(_BOX.value, _BOXES.value),
        min_score=_MIN_SCORE.value,
        outputs=tuple(_OUTPUTS.value),
        batch_size=_BATCH_SIZE.value,
        smooth=_SMOOTH.value,
        max_frames=_MAX_FRAMES.value,
    )

"""Flags that predict and serve-client share: what goes in, who is in it, and what comes out."""

from absl import flags

INPUT = flags.DEFINE_string("input", None, "A photo, a video, a folder of both, or -N for camera N; - is camera 0.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory of the results.")
_BOX = flags.DEFINE_string(
    "box",
    None,
    "The person in every photo, or in a video's first frame: x,y,width,height in pixels, or whole if they fill it.",
)
_BOXES = flags.DEFINE_string(
    "boxes", None, "CSV file with a line for each person: file,x,y,width,height; files without folders."
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", 0.9, "Lowest score of a person; lower finds more people, and more mistakes."
)
_SMOOTH = flags.DEFINE_bool("smooth", True, "Smooth the poses of a video over time.")
_MAX_FRAMES = flags.DEFINE_integer("max_frames", 0, "Most frames of a video or camera; 0: all.", lower_bound=0)
_OUTPUTS = flags.DEFINE_list("outputs", "overlay,views,page,json,csv,npz", "Which results to write.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos, and people, in a batch.", lower_bound=1)
flags.mark_flags_as_required(["input", "output_dir"])


def options():
    """What the flags ask for, checked before a model is loaded."""
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

"""Flags that predict.py and serving_client.py share: what goes in, who is in it, and what comes out."""

from absl import flags

_INPUT = flags.DEFINE_string("input", None, "A photo, a video, a folder of both, or -N for camera N; - is camera 0.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where results go.")
_BOX = flags.DEFINE_string(
    "box", None, "The person in every photo: x,y,width,height in pixels, or whole if he or she fills it."
)
_BOXES = flags.DEFINE_string("boxes", None, "CSV file of people: file,x,y,width,height, a line for each.")
_MIN_SCORE = flags.DEFINE_float("min_score", 0.9, "Of people to be found: lower finds more, and more that is nobody.")
_SMOOTH = flags.DEFINE_bool("smooth", True, "Take the trembling out of the poses of a video.")
_MAX_FRAMES = flags.DEFINE_integer("max_frames", 0, "Of a video or camera; 0: all.", lower_bound=0)
_OUTPUTS = flags.DEFINE_list("outputs", "overlay,views,page,json,csv,npz", "Which results to write.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Photos, and people, at once.", lower_bound=1)
flags.mark_flags_as_required(["input", "output_dir"])


def predict(estimate) -> None:
    """Does with an estimator what the flags say."""
    from pose_tf.serving import predictor
    from pose_tf.serving.people import GivenBoxes

    options = predictor.Options(
        _OUTPUT_DIR.value,
        GivenBoxes(_BOX.value, _BOXES.value),
        _MIN_SCORE.value,
        tuple(_OUTPUTS.value),
        _BATCH_SIZE.value,
        _SMOOTH.value,
        _MAX_FRAMES.value,
    )
    predictor.predict(estimate, _INPUT.value, options)

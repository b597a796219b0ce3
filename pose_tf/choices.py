"""Values that the library and the flags of its commands both accept. Importing this module imports nothing else."""

METHODS = ("soft_argmax", "debiased", "argmax", "unshifted_argmax")
"""From heatmaps to coordinates; see `pose_tf.models.decoding`."""
ALIGNMENTS = ("half_pixel", "corner")
"""Where heatmap cell i lies in the crop: at pixel 4i + 1.5, or at 4i."""
PRECISIONS = ("float32", "bfloat16")
"""Of the detector in an exported SavedModel."""
EXPORTS = {
    "saved_model": PRECISIONS,
    "litert": ("float32", "float16", "int8"),
    "onnx": ("float32",),
    "web": ("int8", "float16", "float32"),
}
"""The precisions of each format of an exported model. A page has one, the first of those that can be made."""
FORMATS = ("text", "markdown", "latex", "json")
"""Of a printed report."""

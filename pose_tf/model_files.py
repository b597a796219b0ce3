"""Models of crops in one file, for LiteRT (.tflite) or ONNX Runtime (.onnx): their cards, and running them.

Nothing here needs TensorFlow. The model has the input `images`, uint8 [N, 256, 256, 3] RGB, and the outputs `pose2d`
[N, J, 2] px of the crop, `pose3d` [N, J, 3] mm and `confidence` [N, J], all float32. The model card follows the model
in the file, where other programs of the format read it, too: behind a .tflite as a ZIP archive with `model_card.json`,
in an .onnx as the metadata entry `model_card`. It holds the length and the checksum of the model before it, so that
damage is found.

Files are untrusted. Both runtimes compute only their own operations, and neither opens other files.
"""

import hashlib
import io
import json
import os
import zipfile

import numpy as np

from pose_tf import quiet
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE

SIGNATURE, INPUT, OUTPUTS = "images", "images", ("pose2d", "pose3d", "confidence")
CARD = "model_card"
CARD_FILE = f"{CARD}.json"
MAX_BYTES = 1 << 30
MAX_CARD_BYTES = 1 << 24
ELSEWHERE = b"\x0a\x08location\x12"
"""Stands in an ONNX file before the path of another file with weights."""


def threads() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def open_litert(**model):
    """Starts LiteRT with a model.

    Args:
        model: `model_path` or `model_content`.

    Returns:
        The interpreter, which must stay alive, and its signature `images` as a function.

    Raises:
        ModuleNotFoundError: LiteRT is not installed. A damaged model raises any exception.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet.standard_error():
        interpreter = Interpreter(num_threads=threads(), **model)
        return interpreter, interpreter.get_signature_runner(SIGNATURE)


class LiteRT:
    """A model in the format of LiteRT, formerly TensorFlow Lite, which sees one crop at a time.

    Args:
        model: content of the file.

    Attributes:
        joints: number of joints of its poses.

    Raises:
        UserError: LiteRT is not installed, or the content is not such a model.
    """

    def __init__(self, model: bytes):
        try:
            self._interpreter, self._run = open_litert(model_content=model)
            with quiet.standard_error():
                self.joints = _joints_of(self._run(**{INPUT: np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.uint8)}))
        except ModuleNotFoundError:
            raise UserError("a .tflite file needs LiteRT: python -m pip install ai-edge-litert") from None
        except Exception as error:  # damaged bytes make LiteRT raise many types
            raise UserError(f"LiteRT refuses it ({' '.join(str(error).split())})") from None

    @staticmethod
    def attach(model: bytes, card: dict) -> bytes:
        """The content of a file with a model and its card."""
        content = io.BytesIO(model)
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(CARD_FILE), json.dumps(_sealed(model, card), indent=1))
        return content.getvalue()

    @staticmethod
    def card(content: bytes) -> dict:
        """The card in the content of a file. Raises any exception if there is none."""
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(CARD_FILE).file_size > MAX_CARD_BYTES:
                raise ValueError("the card is too long")
            return json.loads(archive.read(CARD_FILE))

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Poses in crops: uint8 [N, 256, 256, 3] -> arrays [N, …] by the name of the output."""
        each = [self._run(**{INPUT: image[None]}) for image in images]
        return {name: np.concatenate([outputs[name] for outputs in each]) for name in OUTPUTS}


class OnnxRuntime:
    """A model in the format of ONNX. See `LiteRT`."""

    def __init__(self, model: bytes):
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise UserError("an .onnx file needs ONNX Runtime: python -m pip install onnxruntime") from None
        if ELSEWHERE in model:
            raise UserError("its weights are in other files")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads()
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self.joints = _joints_of(self([np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)]))
        except Exception as error:
            raise UserError(f"ONNX Runtime refuses it ({' '.join(str(error).split())})") from None

    @staticmethod
    def attach(model: bytes, card: dict) -> bytes:
        """See `LiteRT`. The entry is a message of Protocol Buffers; what follows a message is merged into it."""
        text = json.dumps(_sealed(model, card)).encode()
        entry = _field(1, CARD.encode()) + _field(2, text)
        return model + _field(14, entry)  # `metadata_props` of ModelProto

    @staticmethod
    def card(content: bytes) -> dict:
        """See `LiteRT`."""
        start = content.rindex(_field(1, CARD.encode()), -MAX_CARD_BYTES)
        return json.loads(content[content.index(b"{", start) :])

    def __call__(self, images):
        """See `LiteRT`."""
        return dict(zip(OUTPUTS, self._session.run(list(OUTPUTS), {INPUT: np.asarray(images)}), strict=True))


RUNTIMES = {".tflite": LiteRT, ".onnx": OnnxRuntime}
"""The runtime of a file by the ending of its name."""


def _joints_of(outputs: dict[str, np.ndarray]) -> int:
    """The number of joints of poses, see `LiteRT.__call__`."""
    return outputs["pose3d"].shape[1]


def _field(number: int, content: bytes) -> bytes:
    """A field of a message of Protocol Buffers whose value is bytes."""
    size, varint = len(content), bytearray()
    while size >= 0x80:
        varint.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *varint, size]) + content


def _sealed(model, card):
    return card | {"model_bytes": len(model), "model_sha256": hashlib.sha256(model).hexdigest()}


def read(path: str):
    """Opens a file.

    Args:
        path: a file that `pose-tf export` wrote, whose name ends in .tflite or .onnx.

    Returns:
        The card, and a function that computes the poses in crops, see `LiteRT`.

    Raises:
        UserError: it cannot be read or is damaged, `pose-tf export` did not write it, its runtime is not installed, or
            its card names another number of joints than its poses have.
    """
    runtime = RUNTIMES[ending(path)]
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise UserError(f"{path} is too large for a model: more than {MAX_BYTES:,} bytes")
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        card = runtime.card(content)
        model = content[: card["model_bytes"]]
        whole = hashlib.sha256(model).hexdigest() == card["model_sha256"]
    except Exception:  # archives and JSON raise many types
        raise UserError(f"{path} is damaged, or pose-tf export did not write it: it has no model card") from None
    if not whole:
        raise UserError(f"{path} is damaged: its model is not the one that its card describes")
    try:
        run = runtime(model)
    except UserError as error:
        raise UserError(f"{path} cannot be used: {error}") from None
    names = card.get("joints")
    named = len(names) if isinstance(names, list) else 0
    if named != run.joints:
        raise UserError(
            f"{path} is damaged: its model has poses of {run.joints} joints, but its card names {named}; export the "
            "model again"
        )
    return card, run


def ending(path: str) -> str | None:
    """The ending of a path that makes it one of these files, `.tflite` or `.onnx`; else None."""
    found = os.path.splitext(path)[1].lower()
    return found if found in RUNTIMES else None

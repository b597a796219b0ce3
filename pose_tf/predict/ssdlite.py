"""The network that finds people in images of 300x300 pixels, in OpenCV or TensorFlow."""

import math
import sys

import cv2
import numpy as np

SIDE = 300  # px
MOST = 100
"""The most boxes in an image."""
GRIDS = (19, 10, 5, 3, 2, 1)
"""Cells in a row of each feature map."""
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
"""Sizes of the anchors of each feature map, in units of the image."""
SAME_IOU = 0.6
ENCODING = np.float32([10, 10, 5, 5])
"""By how much the network multiplies the differences of a box from its anchor: y, x, log height, log width."""
INPUT = "Preprocessor/sub"
PREDICTORS = [f"BoxPredictor_{i}/{what}Predictor" for what in ("BoxEncoding", "Class") for i in range(6)]
NOT_NETWORK = ("Shape", "strided_slice", "Reshape", "stack")
"""Nodes of the predictors that only reshape what they predict."""


class SSDLiteNetwork:
    """Finds boxes of people in images of 300x300 pixels: SSDLite over MobileNetV2 (Sandler et al., CVPR 2018).

    Reads the frozen graph of TensorFlow's object detection API. Of its 2,790 nodes, only those of the network are used;
    what is before and behind it (scaling, anchors, decoding, non-maximum suppression) is here. OpenCV runs the network
    at first, because it is ready in 0.1 s; TensorFlow needs a second, but takes half as long from then on. After
    `SOON` images it takes over, if the program has loaded it.

    Args:
        graph: the serialized frozen graph, which must be a trusted one.
    """

    SOON = 100

    def __init__(self, graph: bytes):
        self._graph, self._anchors, self._seen = _network_of(graph), _anchors(), 0
        self._run = in_opencv(self._graph)

    def __call__(self, images: np.ndarray, min_score: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Finds people.

        Args:
            images: uint8 [N, 300, 300, 3] RGB.
            min_score: minimum score of a person.

        Returns:
            For each image edges float32 [K, 4]: y0, x0, y1, x1 in units of the image, and scores float32 [K], the
            highest first, K ≤ 100.
        """
        if self._seen >= self.SOON and self._graph and "tensorflow" in sys.modules:
            self._run, self._graph = in_tensorflow(self._graph), None
        self._seen += len(images)
        outputs = self._run(np.float32(images) * np.float32(2 / 255) - 1)
        encoded, logits = (
            np.concatenate([output.reshape(len(images), -1, size) for output in part], axis=1)
            for part, size in ((outputs[:6], 4), (outputs[6:], 2))
        )
        scores = 1 / (1 + np.exp(-logits[..., 1]))
        found = [self._boxes(*one, min_score) for one in zip(encoded, scores, strict=True)]
        return [edges for edges, _ in found], [scores for _, scores in found]

    def _boxes(self, encoded, scores, min_score):
        is_person = scores >= min_score
        edges, scores = _decode(encoded[is_person], self._anchors[is_person]), scores[is_person]
        boxes = np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1)
        best = np.int64(cv2.dnn.NMSBoxes(np.float64(boxes), scores, 0.0, SAME_IOU))[:MOST]
        edges, scores = np.clip(edges[best], 0, 1), scores[best]
        is_inside = (edges[:, 2:] > edges[:, :2]).all(axis=1)
        return edges[is_inside], scores[is_inside]


def in_opencv(graph: bytes):
    """The network as a function: float32 [N, 300, 300, 3] -> the predictions of boxes, then of classes."""
    network = cv2.dnn.readNetFromTensorflow(np.frombuffer(graph, np.uint8))
    network.enableWinograd(False)  # slower here
    names = [f"{predictor}/Conv2D" for predictor in PREDICTORS]  # which includes BiasAdd

    def run(images):
        outputs = []
        for image in images:  # as fast as all at once
            network.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
            outputs.append([output.transpose(0, 2, 3, 1) for output in network.forward(names)])
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]

    return run


def in_tensorflow(graph: bytes):
    """The same as `in_opencv` in TensorFlow."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(graph)
    definition.node[0].attr["dtype"].type = tf.float32.as_datatype_enum
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    function = imported.prune(f"{INPUT}:0", [f"{predictor}/BiasAdd:0" for predictor in PREDICTORS])
    return lambda images: [output.numpy() for output in function(tf.constant(images))]


def _anchors():
    """The anchors of all cells: y, x of the center, height, width in units of the image, float32 [1917, 4]."""
    anchors = []
    for i, cells in enumerate(GRIDS):
        scale, between = SCALES[i], math.sqrt(SCALES[i] * SCALES[i + 1])
        shapes = [(0.1, 1), (scale, 2), (scale, 1 / 2)]  # scale, width over height
        if i > 0:
            shapes = [(scale, ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3)] + [(between, 1)]
        sizes = [(size / math.sqrt(ratio), size * math.sqrt(ratio)) for size, ratio in shapes]
        centers = (np.stack(np.mgrid[:cells, :cells], axis=-1) + 0.5) / cells
        parts = np.broadcast_arrays(centers[:, :, None], np.float64(sizes))
        anchors.append(np.concatenate(parts, axis=-1).reshape(-1, 4))
    return np.float32(np.concatenate(anchors))


def _decode(encoded, anchors):
    """Boxes as differences from anchors -> y0, x0, y1, x1. See Liu et al., SSD, ECCV 2016, equation 2."""
    encoded = encoded / ENCODING
    center = anchors[:, :2] + encoded[:, :2] * anchors[:, 2:]
    size = anchors[:, 2:] * np.exp(encoded[:, 2:])
    return np.concatenate([center - size / 2, center + size / 2], axis=1)


def _network_of(graph):
    """The nodes of the network alone, from its normalized input to its predictions, as a serialized graph."""
    nodes = [_field(1, _field(1, INPUT.encode()) + _field(2, b"Placeholder"))]
    for number, node in _fields(graph):
        if number == 1:
            name = _first(node, 1).decode()
            top, _, rest = name.partition("/")
            if top == "BoxPredictor_5" and rest.endswith("/depthwise_weights"):
                node = _center(name, node)
            if top == "FeatureExtractor" or (top.startswith("BoxPredictor_") and not rest.startswith(NOT_NETWORK)):
                nodes.append(_field(1, node))
    return b"".join(nodes)


def _center(name, node):
    """A node with the middle of 3x3 weights. In a map of one cell they see nothing else, and OpenCV computes the
    convolution with zeros around this cell wrongly.
    """
    value = next(_first(entry, 2) for number, entry in _fields(node) if number == 5 and _first(entry, 1) == b"value")
    weights = np.frombuffer(_first(_first(value, 8), 4), np.float32).reshape(3, 3, -1, 1)[1:2, 1:2]
    shape = b"".join(_field(2, b"\x08" + _varint(size)) for size in weights.shape)
    tensor = b"\x08\x01" + _field(2, shape) + _field(4, weights.tobytes())  # of type float
    attributes = {b"dtype": b"\x30\x01", b"value": _field(8, tensor)}
    entries = (_field(5, _field(1, key) + _field(2, content)) for key, content in attributes.items())
    return _field(1, name.encode()) + _field(2, b"Const") + b"".join(entries)


def _fields(message):
    """(number, bytes) of the fields of a protocol buffer that have a length. Numbers are skipped."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        size, end = _read_varint(message, at)
        if key & 7 == 2:
            yield key >> 3, message[end : end + size]
            end += size
        at = end


def _first(message, number):
    return next(content for found, content in _fields(message) if found == number)


def _read_varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _field(number, content):
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    result = b""
    while value > 127:
        result, value = result + bytes([value & 127 | 128]), value >> 7
    return result + bytes([value])

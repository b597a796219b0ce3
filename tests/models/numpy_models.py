"""The public PyTorch networks in NumPy: the content of their state_dicts and their forward passes.

Arrays have PyTorch's layout, such as [out, in, height, width]; only images and heatmaps are [B, H, W, C].
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def random_state(shapes, rng):
    """Weights of the given shapes that keep activations near 1; positive variances."""
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(1000, np.int64)
        elif len(shape) == 1:
            low, high = (-0.3, 0.3) if name.endswith((".bias", ".running_mean")) else (0.5, 1.5)
            state[name] = rng.uniform(low, high, shape).astype(np.float32)
        else:
            fan_in = shape[1] if name.endswith(".W") else np.prod(shape[1:])
            state[name] = rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
    return state


def bn_shapes(name, channels):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def linear_shapes(name, inputs, outputs, kernel=()):
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def bn(state, name, x, epsilon=1e-5):
    weight, bias, mean, variance = (
        state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def linear(state, name, x):
    weight = state[f"{name}.weight"]
    return x @ weight.reshape(weight.shape[:2]).T + state[f"{name}.bias"]


def relu(x):
    return np.maximum(x, 0)


def count(state, name):
    """The number of numbered children of a module."""
    return len({key.removeprefix(f"{name}.").split(".")[0] for key in state if key.startswith(f"{name}.")})


# ------------------------------------------------------------------------------------------------------ HRNet


def hrnet_shapes(width=32, joints=17, stem=64, modules=(1, 4, 3), blocks=4, all_outputs=False):
    """The official pose_hrnet. `all_outputs`: the last exchange yields four resolutions, as in the ImageNet model."""
    shapes = {}

    def conv_bn(conv, bn, inputs, outputs, size=3):
        shapes.update({f"{conv}.weight": (outputs, inputs, size, size)} | bn_shapes(bn, outputs))

    conv_bn("conv1", "bn1", 3, stem)
    conv_bn("conv2", "bn2", stem, stem)
    for block in range(blocks):
        name = f"layer1.{block}"
        conv_bn(f"{name}.conv1", f"{name}.bn1", 4 * stem if block else stem, stem, 1)
        conv_bn(f"{name}.conv2", f"{name}.bn2", stem, stem)
        conv_bn(f"{name}.conv3", f"{name}.bn3", stem, 4 * stem, 1)
    conv_bn("layer1.0.downsample.0", "layer1.0.downsample.1", stem, 4 * stem, 1)
    conv_bn("transition1.0.0", "transition1.0.1", 4 * stem, width)
    conv_bn("transition1.1.0.0", "transition1.1.0.1", 4 * stem, 2 * width)
    conv_bn("transition2.2.0.0", "transition2.2.0.1", 2 * width, 4 * width)
    conv_bn("transition3.3.0.0", "transition3.3.0.1", 4 * width, 8 * width)
    channels = [width, 2 * width, 4 * width, 8 * width]
    for stage, number in zip((2, 3, 4), modules):
        for module in range(number):
            name = f"stage{stage}.{module}"
            for i in range(stage):
                for block in range(blocks):
                    for part in (1, 2):
                        unit = f"{name}.branches.{i}.{block}"
                        conv_bn(f"{unit}.conv{part}", f"{unit}.bn{part}", channels[i], channels[i])
            last = stage == 4 and module == number - 1
            for i in range(1 if last and not all_outputs else stage):
                for j in range(i + 1, stage):
                    fuse = f"{name}.fuse_layers.{i}.{j}"
                    conv_bn(f"{fuse}.0", f"{fuse}.1", channels[j], channels[i], 1)
                for j in range(i):
                    for k in range(i - j):
                        fuse = f"{name}.fuse_layers.{i}.{j}.{k}"
                        conv_bn(f"{fuse}.0", f"{fuse}.1", channels[j], channels[i if k == i - j - 1 else j])
    return shapes | linear_shapes("final_layer", width, joints, (1, 1))


def conv(x, weight, stride=1):
    """x [B, H, W, C], padded by half the kernel on every side."""
    size = weight.shape[-1]
    x = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, weight, axes=([3, 4, 5], [1, 2, 3]))


def hrnet(state, image):
    """image [B, H, W, 3] to heatmaps [B, H/4, W/4, J]."""

    def conv_bn(x, conv_name, bn_name, stride=1):
        return bn(state, bn_name, conv(x, state[f"{conv_name}.weight"], stride))

    def residual(x, name, convolutions):
        y = x
        for i in range(1, convolutions + 1):
            y = conv_bn(relu(y) if i > 1 else y, f"{name}.conv{i}", f"{name}.bn{i}")
        if f"{name}.downsample.0.weight" in state:
            x = conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1")
        return relu(x + y)

    def fuse(branches, name, i):
        total = 0
        for j, x in enumerate(branches):
            if j > i:
                x = conv_bn(x, f"{name}.{i}.{j}.0", f"{name}.{i}.{j}.1")
                x = x.repeat(2 ** (j - i), axis=1).repeat(2 ** (j - i), axis=2)
            for k in range(i - j):
                x = conv_bn(x if k == 0 else relu(x), f"{name}.{i}.{j}.{k}.0", f"{name}.{i}.{j}.{k}.1", stride=2)
            total = total + x
        return relu(total)

    x = relu(conv_bn(image, "conv1", "bn1", stride=2))
    x = relu(conv_bn(x, "conv2", "bn2", stride=2))
    for block in range(count(state, "layer1")):
        x = residual(x, f"layer1.{block}", 3)
    branches = [
        relu(conv_bn(x, "transition1.0.0", "transition1.0.1")),
        relu(conv_bn(x, "transition1.1.0.0", "transition1.1.0.1", stride=2)),
    ]
    for stage in (2, 3, 4):
        if stage > 2:
            name = f"transition{stage - 1}.{stage - 1}.0"
            branches.append(relu(conv_bn(branches[-1], f"{name}.0", f"{name}.1", stride=2)))
        for module in range(count(state, f"stage{stage}")):
            name = f"stage{stage}.{module}"
            for i in range(stage):
                for block in range(count(state, f"{name}.branches.{i}")):
                    branches[i] = residual(branches[i], f"{name}.branches.{i}.{block}", 2)
            outputs = count(state, f"{name}.fuse_layers")
            branches = [fuse(branches, f"{name}.fuse_layers", i) for i in range(outputs)]
    return linear(state, "final_layer", branches[0])


# ------------------------------------------------------------------------------------------- EfficientNet-Lite

LITE0 = [  # inputs, kernel, stride, expansion, outputs of each unit
    (32, 3, 1, 1, 16),
    *((16, 3, 2, 6, 24), (24, 3, 1, 6, 24)),
    *((24, 5, 2, 6, 40), (40, 5, 1, 6, 40)),
    *((40, 3, 2, 6, 80), (80, 3, 1, 6, 80), (80, 3, 1, 6, 80)),
    *((80, 5, 1, 6, 112), (112, 5, 1, 6, 112), (112, 5, 1, 6, 112)),
    *((112, 5, 2, 6, 192), (192, 5, 1, 6, 192), (192, 5, 1, 6, 192), (192, 5, 1, 6, 192)),
    (192, 3, 1, 6, 320),
]
LITE_EPSILON = 1e-3


def lite0_shapes():
    """The backbone of the public EfficientNet-Lite0."""
    shapes = {"_conv_stem.weight": (32, 3, 3, 3)} | bn_shapes("_bn0", 32)
    for number, (inputs, kernel, _, expansion, outputs) in enumerate(LITE0):
        name, middle = f"_blocks.{number}", expansion * inputs
        if expansion > 1:
            shapes |= {f"{name}._expand_conv.weight": (middle, inputs, 1, 1)} | bn_shapes(f"{name}._bn0", middle)
        shapes |= {f"{name}._depthwise_conv.weight": (middle, 1, kernel, kernel)} | bn_shapes(f"{name}._bn1", middle)
        shapes |= {f"{name}._project_conv.weight": (outputs, middle, 1, 1)} | bn_shapes(f"{name}._bn2", outputs)
    return shapes


def lite0_head_shapes(classes):
    """The classifier of the public EfficientNet-Lite0."""
    return {"_conv_head.weight": (1280, 320, 1, 1)} | bn_shapes("_bn1", 1280) | linear_shapes("_fc", 1280, classes)


def lite0_pyramid_shapes(channels, joints=17):
    """Our pyramid above the backbone, with names in the same style."""
    shapes = linear_shapes("final_layer", channels[0], joints, (1, 1))

    def conv_bn(name, inputs, outputs, size=1):
        shapes.update({f"{name}.weight": (outputs, inputs, size, size)} | bn_shapes(f"{name}.bn", outputs))

    for level, inputs in enumerate((24, 40, 112, 320)):
        conv_bn(f"pyramid{level}.lateral", inputs, channels[level])
        if level < 3:
            conv_bn(f"pyramid{level}.conv", channels[level], channels[level], 3)
            if channels[level + 1] != channels[level]:
                conv_bn(f"pyramid{level}.above", channels[level + 1], channels[level])
    return shapes


def relu6(x):
    return np.clip(x, 0, 6)


def pad_same(x, size, stride):
    """TensorFlow's padding: as little as possible, and one more at the end if it is odd."""
    pads = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[1:3]]
    return np.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))


def depthwise(x, weight, stride=1):
    """x [B, H, W, C] with a kernel [C, 1, size, size]."""
    size = weight.shape[-1]
    height, width = (-(-side // stride) for side in x.shape[1:3])
    x, total = pad_same(x, size, stride), 0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + (height - 1) * stride + 1, stride)
            columns = slice(j, j + (width - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * weight[:, 0, i, j]
    return total


def lite0_features(state, image):
    """image [B, H, W, 3] to the features of strides 4, 8, 16 and 32."""

    def normalize(x, name):
        return bn(state, name, x, LITE_EPSILON)

    def dense(x, name):
        return x @ state[f"{name}.weight"][:, :, 0, 0].T

    windows = sliding_window_view(pad_same(image, 3, 2), (3, 3), axis=(1, 2))[:, ::2, ::2]
    x = np.tensordot(windows, state["_conv_stem.weight"], axes=([3, 4, 5], [1, 2, 3]))
    x, features = relu6(normalize(x, "_bn0")), []
    for number, (inputs, _, stride, expansion, outputs) in enumerate(LITE0):
        name, y = f"_blocks.{number}", x
        if stride == 2 and inputs > 16:
            features.append(x)
        if expansion > 1:
            y = relu6(normalize(dense(y, f"{name}._expand_conv"), f"{name}._bn0"))
        y = relu6(normalize(depthwise(y, state[f"{name}._depthwise_conv.weight"], stride), f"{name}._bn1"))
        y = normalize(dense(y, f"{name}._project_conv"), f"{name}._bn2")
        x = x + y if stride == 1 and inputs == outputs else y
    return [*features, x]


def lite0_logits(state, feature):
    """The feature of stride 32 to the logits of the classes [B, classes]."""
    x = feature @ state["_conv_head.weight"][:, :, 0, 0].T
    x = relu6(bn(state, "_bn1", x, LITE_EPSILON)).mean(axis=(1, 2))
    return linear(state, "_fc", x)


def lite0_heatmaps(state, features):
    """Features of strides 4, 8, 16 and 32 to heatmaps [B, H/4, W/4, J]."""

    def conv_bn(x, name):
        return bn(state, f"{name}.bn", conv(x, state[f"{name}.weight"]), LITE_EPSILON)

    x = relu6(conv_bn(features[3], "pyramid3.lateral"))
    for level in (2, 1, 0):
        if f"pyramid{level}.above.weight" in state:
            x = conv_bn(x, f"pyramid{level}.above")
        x = x.repeat(2, axis=1).repeat(2, axis=2) + conv_bn(features[level], f"pyramid{level}.lateral")
        x = relu6(conv_bn(x, f"pyramid{level}.conv"))
    return linear(state, "final_layer", x)


# ----------------------------------------------------------------------------------------------------- SemGCN


def sem_gcn_shapes(entries, channels=128, blocks=4, non_local=None, pooled=False):
    """The public SemGCN. `non_local` is the name of these layers in its file; None for a model without them."""

    def graph_conv(name, inputs, outputs):
        return {f"{name}.W": (2, inputs, outputs), f"{name}.e": (1, entries), f"{name}.bias": (outputs,)}

    def conv_bn(name, inputs):
        return graph_conv(f"{name}.gconv", inputs, channels) | bn_shapes(f"{name}.bn", channels)

    def look_around(name):
        name, half, pool = f"{name}.{non_local}", channels // 2, ".0" if pooled else ""
        return (
            linear_shapes(f"{name}.g{pool}", channels, half, (1,))
            | linear_shapes(f"{name}.theta", channels, half, (1,))
            | linear_shapes(f"{name}.phi{pool}", channels, half, (1,))
            | {f"{name}.concat_project.0.weight": (1, channels, 1, 1)}
            | linear_shapes(f"{name}.W.0", half, channels, (1,))
            | bn_shapes(f"{name}.W.1", channels)
        )

    shapes = conv_bn("gconv_input.0", 2)
    step = 2 if non_local else 1
    if non_local:
        shapes |= look_around("gconv_input.1")
    for block in range(blocks):
        name = f"gconv_layers.{step * block}"
        shapes |= conv_bn(f"{name}.gconv1", channels) | conv_bn(f"{name}.gconv2", channels)
        if non_local:
            shapes |= look_around(f"gconv_layers.{step * block + 1}")
    return shapes | graph_conv("gconv_output", channels, 3)


def sem_gcn(state, pose2d, edges, groups=None):
    """pose2d [B, J, 2] to [B, J, 3]."""
    nodes = pose2d.shape[1]
    own = np.eye(nodes)
    mask = own.astype(bool)
    for i, j in edges:
        mask[i, j] = mask[j, i] = True

    def graph_conv(x, name):
        adjacency = np.zeros((nodes, nodes))
        adjacency[mask] = np.exp(state[f"{name}.e"].ravel())
        adjacency /= adjacency.sum(axis=1, keepdims=True)
        first, second = state[f"{name}.W"]
        return adjacency * own @ x @ first + adjacency * (1 - own) @ x @ second + state[f"{name}.bias"]

    def conv_bn_relu(x, name):
        return relu(bn(state, f"{name}.bn", graph_conv(x, f"{name}.gconv")))

    def look_around(x, name):
        (name,) = {".".join(key.split(".")[:3]) for key in state if key.startswith(f"{name}.")}
        pool = ".0" if f"{name}.g.0.weight" in state else ""
        sets = groups or [[i] for i in range(nodes)]
        theta = linear(state, f"{name}.theta", x)
        g, phi = (
            np.stack([linear(state, f"{name}.{part}{pool}", x)[:, group].max(axis=1) for group in sets], axis=1)
            for part in ("g", "phi")
        )
        pairs = np.concatenate(
            [theta[:, :, None].repeat(len(sets), axis=2), phi[:, None].repeat(nodes, axis=1)], axis=-1
        )
        affinity = relu(pairs @ state[f"{name}.concat_project.0.weight"].ravel()) / len(sets)
        return x + bn(state, f"{name}.W.1", linear(state, f"{name}.W.0", affinity @ g))

    x = conv_bn_relu(pose2d, "gconv_input.0")
    if count(state, "gconv_input") == 2:
        x = look_around(x, "gconv_input.1")
    for layer in range(count(state, "gconv_layers")):
        name = f"gconv_layers.{layer}"
        if f"{name}.gconv1.gconv.W" in state:
            x = x + conv_bn_relu(conv_bn_relu(x, f"{name}.gconv1"), f"{name}.gconv2")
        else:
            x = look_around(x, name)
    return graph_conv(x, "gconv_output")


# ----------------------------------------------------------------------------------------------- feed-forward


def martinez_shapes(joints, units, blocks, outputs):
    shapes = linear_shapes("w1", 2 * joints, units) | bn_shapes("batch_norm1", units)
    for block in range(blocks):
        for i in (1, 2):
            shapes |= linear_shapes(f"linear_stages.{block}.w{i}", units, units)
            shapes |= bn_shapes(f"linear_stages.{block}.batch_norm{i}", units)
    return shapes | linear_shapes("w2", units, outputs)


def martinez(state, pose2d):
    """pose2d [B, 2 * J] to [B, outputs]."""
    x = relu(bn(state, "batch_norm1", linear(state, "w1", pose2d)))
    for block in range(count(state, "linear_stages")):
        y = x
        for i in (1, 2):
            name = f"linear_stages.{block}"
            y = relu(bn(state, f"{name}.batch_norm{i}", linear(state, f"{name}.w{i}", y)))
        x = x + y
    return linear(state, "w2", x)


def released_shapes(joints, units):
    return (
        linear_shapes("block.model.0", units, units)
        | bn_shapes("block.model.1", units)
        | linear_shapes("linear_in", 2 * joints, units)
        | linear_shapes("liner_out", units, 3 * joints)
        | bn_shapes("batchnorm", units)
    )


def released(state, pose2d):
    """The paper's released network, [B, 2 * J] to [B, 3 * J]: one hidden layer, used four times."""

    def hidden(x):
        return relu(bn(state, "block.model.1", linear(state, "block.model.0", x)))

    x = relu(bn(state, "batchnorm", linear(state, "linear_in", pose2d)))
    for _ in range(2):
        x = x + hidden(hidden(x))
    return linear(state, "liner_out", x)

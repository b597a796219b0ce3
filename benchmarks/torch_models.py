"""The public PyTorch models to which `train_step.py` compares pose_tf, and a process that takes their training steps.

They are written from the papers, with the weight names of the public code. The script needs only PyTorch.

    python benchmarks/torch_models.py '{"model": {"name": "feed_forward"}, "batch_size": 64}'

Takes steps on demand: see `on_demand.py`.
"""

import contextlib
import json
import sys

import torch
from on_demand import serve
from torch import nn
from torch.nn import functional

BONES = [
    (1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5), (7, 0), (8, 7), (9, 8), (10, 9), (11, 8), (12, 11), (13, 12),
    (14, 8), (15, 14), (16, 15),
]  # fmt: skip


# ---- HRNet (Sun et al., CVPR 2019)


def conv_bn(channels, filters, kernel=3, stride=1):
    convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(filters)]


class Residual(nn.Module):
    """Convolutions with batch normalization, ReLU between them and after the sum with the input.

    Args:
        channels: of the input.
        sizes: (filters, kernel) of each convolution.
    """

    def __init__(self, channels, sizes):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.count = len(sizes)
        self.downsample = nn.Sequential(*conv_bn(channels, sizes[-1][0], 1)) if channels != sizes[-1][0] else None
        for number, (filters, kernel) in enumerate(sizes, 1):
            convolution, bn = conv_bn(channels, filters, kernel)
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", bn)
            channels = filters

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = self.relu(y)
        return self.relu(y + (self.downsample(x) if self.downsample else x))


class Exchange(nn.Module):
    """Residual units in every branch; then each of the first `outputs` branches gets the sum of all branches.

    Args:
        widths: channels of the branches.
        blocks: residual units in each.
        outputs: number of output branches.
    """

    def __init__(self, widths, blocks, outputs):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(Residual(width, [(width, 3)] * 2) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(widths, j, i) for j in range(len(widths))) for i in range(outputs)
        )

    @staticmethod
    def _path(widths, j, i):
        if j > i:
            return nn.Sequential(*conv_bn(widths[j], widths[i], 1), nn.Upsample(scale_factor=2 ** (j - i)))
        steps = [nn.Sequential(*conv_bn(widths[j], widths[j], 3, 2), nn.ReLU(True)) for _ in range(i - j - 1)]
        last = [nn.Sequential(*conv_bn(widths[j], widths[i], 3, 2))] if j < i else []
        return nn.Sequential(*steps, *last)

    def forward(self, xs):
        xs = [branch(x) for branch, x in zip(self.branches, xs)]
        return [functional.relu(sum(path(x) for path, x in zip(paths, xs))) for paths in self.fuse_layers]


class HRNet(nn.Module):
    """The public `pose_hrnet`: float [B, 3, H, W] -> heatmaps [B, J, H/4, W/4]."""

    def __init__(self, width=32, num_joints=17, stem=64, modules=(1, 4, 3), blocks=4, downsample=1):
        super().__init__()
        self.pool = nn.AvgPool2d(downsample) if downsample > 1 else nn.Identity()
        self.conv1, self.bn1 = conv_bn(3, stem, 3, 2)
        self.conv2, self.bn2 = conv_bn(stem, stem, 3, 2)
        sizes = [(stem, 1), (stem, 3), (4 * stem, 1)]
        self.layer1 = nn.Sequential(*(Residual(4 * stem if i else stem, sizes) for i in range(blocks)))
        widths = [4 * stem]
        for stage, count in zip((2, 3, 4), modules):
            wider = [width * 2**i for i in range(stage)]
            setattr(self, f"transition{stage - 1}", self._transition(widths, wider))
            outputs = [1 if (stage, module) == (4, count - 1) else stage for module in range(count)]
            setattr(self, f"stage{stage}", nn.Sequential(*(Exchange(wider, blocks, n) for n in outputs)))
            widths = wider
        self.final_layer = nn.Conv2d(width, num_joints, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)

    @staticmethod
    def _transition(before, after):
        layers = [
            nn.Sequential(*conv_bn(old, new), nn.ReLU(True)) if old != new else None for old, new in zip(before, after)
        ]
        layers.append(nn.Sequential(nn.Sequential(*conv_bn(before[-1], after[-1], 3, 2), nn.ReLU(True))))
        return nn.ModuleList(layers)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(self.pool(x))))
        x = functional.relu(self.bn2(self.conv2(x)))
        xs = [self.layer1(x)]
        for stage in (2, 3, 4):
            transition = getattr(self, f"transition{stage - 1}")
            xs = [layer(xs[min(i, len(xs) - 1)]) if layer is not None else xs[i] for i, layer in enumerate(transition)]
            xs = getattr(self, f"stage{stage}")(xs)
        return self.final_layer(xs[0])


def soft_argmax(heatmaps):
    """Expected cell of each joint: [B, J, H, W] -> float32 [B, J, 2]."""
    height, width = heatmaps.shape[-2:]
    p = torch.softmax(heatmaps.float().flatten(2), -1).view(heatmaps.shape)
    x = (p.sum(2) * torch.arange(width)).sum(-1)
    y = (p.sum(3) * torch.arange(height)).sum(-1)
    return torch.stack([x, y], -1)


# ---- the linear model (Martinez et al., ICCV 2017)


class FeedForward(nn.Module):
    """float [B, J, 2] -> [B, J, 3] by `num_blocks` residual blocks of two linear layers."""

    def __init__(self, num_joints=17, units=1024, num_blocks=2, dropout=0.5):
        super().__init__()

        def hidden(inputs):
            return nn.Sequential(
                nn.Linear(inputs, units), nn.BatchNorm1d(units), nn.ReLU(inplace=True), nn.Dropout(dropout)
            )

        self.input = hidden(2 * num_joints)
        self.blocks = nn.ModuleList(nn.Sequential(hidden(units), hidden(units)) for _ in range(num_blocks))
        self.output = nn.Linear(units, 3 * num_joints)

    def forward(self, x):
        y = self.input(x.flatten(1))
        for block in self.blocks:
            y = y + block(y)
        return self.output(y).view(len(x), -1, 3)


# ---- SemGCN (Zhao et al., CVPR 2019)


class SemGraphConv(nn.Module):
    """Graph convolution with a learned weight for each edge: [B, nodes, inputs] -> [B, nodes, outputs]."""

    def __init__(self, inputs, outputs, linked):
        super().__init__()
        self.register_buffer("linked", linked, persistent=False)
        limit = 1.414 * (6 / (inputs * outputs + 2 * outputs)) ** 0.5
        self.W = nn.Parameter(torch.empty(2, inputs, outputs).uniform_(-limit, limit))
        self.e = nn.Parameter(torch.ones(1, int(linked.sum())))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-(outputs**-0.5), outputs**-0.5))

    def forward(self, x):
        affinity = torch.full(self.linked.shape, -9e15, dtype=self.e.dtype)
        affinity[self.linked] = self.e.flatten()
        affinity = torch.softmax(affinity, 1)
        own = torch.eye(len(affinity))
        return (affinity * own) @ (x @ self.W[0]) + (affinity * (1 - own)) @ (x @ self.W[1]) + self.bias


class GraphConv(nn.Module):
    """Graph convolution, batch normalization and ReLU."""

    def __init__(self, inputs, outputs, linked):
        super().__init__()
        self.gconv = SemGraphConv(inputs, outputs, linked)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x):
        return functional.relu(self.bn(self.gconv(x).transpose(1, 2)).transpose(1, 2))


class NonLocal(nn.Module):
    """Non-local block with concatenation (Wang et al., CVPR 2018), pairs written out as in the public code."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.g, self.theta, self.phi = (nn.Conv1d(channels, half, 1) for _ in range(3))
        self.concat_project = nn.Sequential(nn.Conv2d(2 * half, 1, 1, bias=False), nn.ReLU())
        self.W = nn.Sequential(nn.Conv1d(half, channels, 1), nn.BatchNorm1d(channels))
        nn.init.zeros_(self.W[1].weight)

    def forward(self, x):
        x = x.transpose(1, 2)
        nodes = x.shape[-1]
        theta = self.theta(x)[..., :, None].expand(-1, -1, -1, nodes)
        phi = self.phi(x)[..., None, :].expand(-1, -1, nodes, -1)
        affinity = self.concat_project(torch.cat([theta, phi], 1))[:, 0] / nodes
        y = (affinity @ self.g(x).transpose(1, 2)).transpose(1, 2).contiguous()
        return (x + self.W(y)).transpose(1, 2)


class SemGCN(nn.Module):
    """float [B, 17, 2] -> [B, 17, 3] by `num_blocks` residual blocks of two graph convolutions."""

    def __init__(self, num_joints=17, channels=128, num_blocks=4, non_local=True):
        super().__init__()
        linked = torch.eye(num_joints, dtype=torch.bool)
        for i, j in BONES:
            linked[i, j] = linked[j, i] = True

        def look_around():
            return NonLocal(channels) if non_local else nn.Identity()

        self.gconv_input = nn.Sequential(GraphConv(2, channels, linked), look_around())
        self.gconv_layers = nn.ModuleList(
            nn.Sequential(*(GraphConv(channels, channels, linked) for _ in range(2))) for _ in range(num_blocks)
        )
        self.non_local = nn.ModuleList(look_around() for _ in range(num_blocks))
        self.gconv_output = SemGraphConv(channels, 3, linked)

    def forward(self, x):
        x = self.gconv_input(x)
        for block, non_local in zip(self.gconv_layers, self.non_local):
            x = non_local(x + block(x))
        return self.gconv_output(x)


# ---- training


def make_train_step(task):
    """Returns a function that takes one training step on random data.

    Args:
        task: {"model": {"name": …, and arguments of the class}, "batch_size": B, "bfloat16": whether to use bfloat16,
            "tuned": whether to use channels last and the fused optimizer, "optimizer": arguments of AdamW, "clip_norm":
            limit of the norm of the gradients, or 0 for no limit; the norm is computed in any case}.
    """
    options = dict(task["model"])
    name = options.pop("name")
    model = {"hrnet": HRNet, "feed_forward": FeedForward, "sem_gcn": SemGCN}[name](**options).train()
    size = task["batch_size"]
    if name == "hrnet":
        layout = torch.channels_last if task.get("tuned") else torch.contiguous_format
        model = model.to(memory_format=layout)
        inputs = torch.randn(size, 3, 256, 256).contiguous(memory_format=layout)
        target = 64 * torch.rand(size, 17, 2)
    else:
        inputs, target = torch.randn(size, 17, 2), torch.randn(size, 17, 3)
    optimizer = torch.optim.AdamW(model.parameters(), fused=task.get("tuned") or None, **task.get("optimizer", {}))

    def train_step():
        low = torch.autocast("cpu", torch.bfloat16) if task.get("bfloat16") else contextlib.nullcontext()
        with low:
            output = model(inputs)
        predicted = soft_argmax(output) if name == "hrnet" else output.float()
        loss = (predicted - target).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        if task.get("clip_norm"):
            nn.utils.clip_grad_norm_(model.parameters(), task["clip_norm"], foreach=task.get("tuned"))
        else:
            nn.utils.get_total_norm([weight.grad for weight in model.parameters()], foreach=task.get("tuned"))
        optimizer.step()
        return loss

    return train_step


def main():
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task.get("threads", torch.get_num_threads()))
    train_step = make_train_step(task)

    def work(steps):
        for _ in range(steps):
            loss = train_step()
        loss.item()

    serve(work)


if __name__ == "__main__":
    main()

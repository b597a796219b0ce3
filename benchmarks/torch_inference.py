"""The same estimator in PyTorch and OpenVINO, to which `inference.py` compares pose_tf.

It consists of HRNet, soft-argmax and the feed-forward lifter of `torch_models.py`, from uint8 images to 2D and 3D
joints.

    python benchmarks/torch_inference.py '{"runtime": "compiled", "precision": "float32", "batch_size": 8}'

`runtime` is `eager`, like the public code; `compiled` by torch.compile; `frozen`, the same with channels last, constant
weights and folded batch normalization; or `openvino`, converted from PyTorch. Works on demand: see `on_demand.py`.
"""

import json
import os
import sys

import numpy as np
import torch
from on_demand import serve
from torch import nn
from torch_models import FeedForward, HRNet, soft_argmax


class Estimator(nn.Module):
    """uint8 [B, 256, 256, 3] -> 2D joints [B, 17, 2] px and 3D joints [B, 17, 3]."""

    def __init__(self, width, dtype):
        super().__init__()
        self.detector = HRNet(width).to(dtype)
        self.lifter = FeedForward()
        self.dtype = dtype
        self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]))
        self.register_buffer("std", 255 * torch.tensor([0.229, 0.224, 0.225]))

    def forward(self, images):
        images = ((images.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        pose2d = 4 * soft_argmax(self.detector(images.to(self.dtype)).float()) + 1.5
        return pose2d, self.lifter(pose2d / 128 - 1)


def make_call(task):
    """A function that estimates the poses of a batch, uint8 NumPy array [B, 256, 256, 3]."""
    low = task["precision"] == "bfloat16"
    openvino = task["runtime"] == "openvino"
    torch.manual_seed(0)
    dtype = torch.bfloat16 if low and not openvino else torch.float32
    model = Estimator(task.get("width", 32), dtype).eval()
    for module in model.modules():  # as after training: activations keep their variance
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    images = torch.zeros(task["batch_size"], 256, 256, 3, dtype=torch.uint8)
    if openvino:
        import openvino
        from openvino_model import compile_model

        converted = openvino.convert_model(model, example_input=images, input=[tuple(images.shape)])
        compiled = compile_model(converted, "bf16" if low else "f32", task["threads"])
        return lambda batch: compiled(batch)[0]
    if task["runtime"] == "frozen":
        from torch._inductor import config

        config.freezing = True
        model = model.to(memory_format=torch.channels_last)
    if task["runtime"] != "eager":
        model = torch.compile(model)

    def call(batch):
        with torch.inference_mode():
            return model(torch.from_numpy(batch))[0]

    return call


def main():
    task = json.loads(sys.argv[1])
    task.setdefault("threads", len(os.sched_getaffinity(0)))
    torch.set_num_threads(task["threads"])
    call = make_call(task)
    batch = np.random.default_rng(0).integers(0, 256, (task["batch_size"], 256, 256, 3), np.uint8)

    def work(calls):
        for _ in range(calls):
            call(batch)

    serve(work)


if __name__ == "__main__":
    main()

"""What a person watches while training runs: TensorBoard, a progress bar, and curves as a picture."""

import json
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tensorflow as tf
import tqdm

from pose_tf import files

GRAPH_COLUMNS = 3


class Monitor:
    """Reports to `metrics.jsonl`, `curves.png`, `tensorboard/` and the terminal.

    Args:
        workdir: the run's `Workdir`.
        start_step: reports of later steps, left by a run that was killed, are dropped.
        total_steps: of the whole run.
    """

    def __init__(self, workdir, start_step: int, total_steps: int):
        self._workdir = workdir
        self._lines = [line for line in self._read() if line["step"] <= start_step]
        with open(self._path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in self._lines)
        self._writer = tf.summary.create_file_writer(workdir.file("tensorboard"))
        self._bar = tqdm.tqdm(total=total_steps, initial=start_step, unit=" steps", dynamic_ncols=True)
        self._shown = {}

    @property
    def _path(self):
        return self._workdir.file("metrics.jsonl")

    def _read(self):
        if not os.path.exists(self._path):
            return []
        with open(self._path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def advance(self, step: int) -> None:
        """Moves the progress bar."""
        self._bar.update(step - self._bar.n)

    def report(self, step: int, split: str, values: dict[str, float]) -> None:
        """Writes scalars.

        Args:
            step: the training step.
            split: `train` or `validation`.
            values: by name.
        """
        line = {"step": step, "split": split, **values}
        self._lines.append(line)
        with open(self._path, "a") as file:
            file.write(json.dumps(line) + "\n")
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(f"{split}/{name}", value)
        self._writer.flush()
        self._shown |= {f"{split[:3]} {name}": f"{value:.4g}" for name, value in values.items() if name in SHOWN}
        self._bar.set_postfix(self._shown, refresh=False)

    def picture(self, step: int, name: str, image) -> None:
        """Shows a uint8 [H, W, 3] picture in TensorBoard."""
        with self._writer.as_default(step):
            tf.summary.image(name, image[None])
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """Shows a text in TensorBoard."""
        with self._writer.as_default(0):
            tf.summary.text(name, text)

    def draw_curves(self) -> None:
        """Draws every metric over the steps, training and validation together, to `curves.png`."""
        names = sorted({name for line in self._lines for name in line} - {"step", "split"})
        rows = -(-len(names) // GRAPH_COLUMNS)
        figure, axes = plt.subplots(rows, GRAPH_COLUMNS, figsize=(4.5 * GRAPH_COLUMNS, 3 * rows), squeeze=False)
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for name, axis in zip(names, axes.flat):
            for split in ("train", "validation"):
                points = [(line["step"], line[name]) for line in self._lines if line["split"] == split and name in line]
                if points:
                    axis.plot(*zip(*points), label=split, marker="." if len(points) < 30 else None)
            axis.set(title=name, xlabel="step")
            axis.grid(alpha=0.3)
            axis.legend()
        figure.tight_layout()
        with files.replacing(self._workdir.file("curves.png")) as temporary:
            figure.savefig(temporary, dpi=90)
        plt.close(figure)

    def close(self) -> None:
        """Ends the progress bar and the TensorBoard file."""
        self._bar.close()
        self._writer.close()


SHOWN = ("loss", "pixel_error", "mpjpe", "pa_mpjpe")

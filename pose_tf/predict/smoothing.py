"""Smooths the poses of people over time: as they come, for cameras, and without delay, for files."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pose_tf.predict.results import Frame


class OneEuroFilter:
    """Removes jitter from a signal, yet follows fast changes (Casiez, Roussel and Vogel, CHI 2012).

    A low-pass filter whose cutoff frequency rises with the speed: `min_cutoff + beta·|speed|`.

    Args:
        min_cutoff: cutoff frequency in Hz at speed 0.
        beta: increase of the cutoff frequency in Hz per unit of the signal per second.
    """

    SPEED_CUTOFF = 1.0  # Hz

    def __init__(self, min_cutoff: float, beta: float):
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._time = None

    def __call__(self, values: np.ndarray, time: float) -> np.ndarray:
        """Smooths the next values, an array of any shape. `time` in seconds must increase from call to call. If a value
        is not finite, all are returned as they are, and forgotten."""
        if not np.isfinite(values).all():
            return values
        if self._time is None:
            self._value, self._speed = values, np.zeros_like(values)
        elif time > self._time:
            step = time - self._time
            speed = (values - self._value) / step
            self._speed = self._speed + _weight(self.SPEED_CUTOFF, step) * (speed - self._speed)
            # One cutoff for all coordinates of a joint preserves the direction of its motion.
            magnitude = np.linalg.norm(self._speed, axis=-1, keepdims=True)
            weight = _weight(self._min_cutoff + self._beta * magnitude, step)
            self._value = self._value + weight * (values - self._value)
        self._time = time
        return self._value


def _weight(cutoff, step):
    """Weight of a new value in a low-pass filter, for a cutoff in Hz and a time step in seconds."""
    rate = 2 * np.pi * cutoff * step
    return rate / (rate + 1)


class PoseSmoother:
    """Smooths the poses of each person in a video separately, frame by frame.

    Filters 2D joints in units of the box's longest side and 3D joints in mm. The cutoff is 1 Hz for a joint at rest and
    6 Hz for an arm that swings at 1 m/s. Positions of hips have larger errors, above all along the line of sight, and
    people move more slowly than their arms: 0.3 Hz at rest, and 1.3 Hz at 2 m/s.
    """

    def __init__(self):
        self._filters = {}

    def __call__(self, frame: Frame) -> Frame:
        """The frame with smoothed poses. Times must increase from call to call."""
        return dataclasses.replace(frame, people=tuple(self._smoothed(person, frame.time) for person in frame.people))

    def _smoothed(self, person, time):
        if person.number not in self._filters:
            filters = OneEuroFilter(1.0, 10.0), OneEuroFilter(1.0, 0.005), OneEuroFilter(0.3, 0.0005)
            self._filters[person.number] = *filters, max(person.box[2:])
        in_2d, in_3d, of_hip, size = self._filters[person.number]
        return dataclasses.replace(
            person,
            pose2d=size * in_2d(person.pose2d / size, time),
            pose3d=in_3d(person.pose3d, time),
            root3d=of_hip(person.root3d, time),
        )


def smooth_without_delay(frames: Sequence[Frame]) -> list[Frame]:
    """Smooths the poses of a whole video: what is filtered forward in time is filtered backward, too, and vice versa.

    A filter that goes forward lags behind fast motions; one that goes backward is ahead by as much. The mean of both
    orders treats the past and the future alike.
    """
    forward_first = _backward(_forward(frames))
    backward_first = _forward(_backward(frames))
    return [
        dataclasses.replace(one, people=tuple(map(_mean, one.people, other.people)))
        for one, other in zip(forward_first, backward_first, strict=True)
    ]


def _forward(frames):
    return list(map(PoseSmoother(), frames))


def _backward(frames):
    reversed_in_time = [dataclasses.replace(frame, time=-frame.time) for frame in reversed(frames)]
    return [dataclasses.replace(frame, time=-frame.time) for frame in reversed(_forward(reversed_in_time))]


def _mean(one, other):
    poses = {name: (getattr(one, name) + getattr(other, name)) / 2 for name in ("pose2d", "pose3d", "root3d")}
    return dataclasses.replace(one, **poses)

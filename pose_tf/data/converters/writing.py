"""Writes the records of labeled people in parallel, and resumes after an interruption."""

import collections
import concurrent.futures
import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import tqdm

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.converters.people import Frames, LeftOut, Photo, read_image
from pose_tf.data.threads import in_parallel
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton


def write_records(
    people: Sequence[Photo] | Frames,
    left_out: collections.Counter,
    output_dir: str,
    name: str,
    shard_size: int,
    source,
    skeleton: Skeleton,
) -> tuple[int, collections.Counter]:
    """Writes `output_dir/h36/NAME_*.tfrecord` or `output_dir/mpii/NAME_*.tfrecord`.

    The content of the files depends on the arguments only. Photographs are shuffled; frames stay in their order,
    because videos are read from the beginning to the end. `output_dir/NAME.json` lists the files that are complete and
    the people who are left out, so that the same call resumes after an interruption.

    Args:
        people: at least one; all of one kind.
        left_out: people whose labels could not be used, by reason.
        output_dir: directory of records; it may have others.
        name: beginning of the files' names.
        shard_size: people in a file.
        source: description of the conversion's input for JSON.
        skeleton: of the people. Unless it is that of the kind's data set, a file beside the records names their joints.

    Returns:
        Number of people in the records, and of those left out, by reason, `left_out` included.

    Raises:
        UserError: the directory has records of this name from other input, or records with other joints, another
            process is writing such, or no person could be used.
    """
    kind = people[0].kind
    schema, folder = records.SCHEMAS[kind](len(skeleton.joints)), os.path.join(output_dir, kind)
    _check_same_joints(folder, skeleton)
    path = os.path.join(output_dir, f"{name}.json")
    state = _State(path, source, shard_size, left_out)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None
    in_order = isinstance(people, Frames) and people.has_videos
    order = range(len(people)) if in_order else np.random.default_rng(0).permutation(len(people))
    shards = [order[start : start + shard_size] for start in range(0, len(people), shard_size)]
    names = [f"{name}_{number:05d}-of-{len(shards):05d}.tfrecord" for number in range(len(shards))]
    stop = threading.Event()
    with _unfinished(output_dir, name) as unfinished, tqdm.tqdm(total=len(people), unit=" people", desc=folder) as bar:

        def convert(number):
            file, shard = names[number], shards[number]
            if state.has(file) and (not state.samples(file) or os.path.exists(os.path.join(folder, file))):
                bar.update(len(shard))
                return
            missing = collections.Counter()
            samples = _samples((people[i] for i in shard), missing, bar, stop)
            count = records.write(os.path.join(unfinished, file), samples, schema)
            if count:
                _add(os.path.join(unfinished, file), folder, skeleton)
            state.add(file, count, missing, unfinished)

        in_parallel(convert, range(len(shards)), stop)
    count, reasons = state.totals()
    if not count:
        os.remove(path)  # so that another attempt does not resume this one
        raise UserError(f"no person could be used: {describe(reasons)}")
    return count, reasons


def _check_same_joints(folder, skeleton):
    """Checks that a folder has no records with other joints. Returns whether it has records."""
    found = bool(records.shards_in(folder))
    if found and (difference := (other := records.skeleton_of(folder)).difference(skeleton)):
        where = f" ({difference})" if str(other) == str(skeleton) else ""
        raise UserError(
            f"{folder} has records with the joints of the skeleton {other}, not of {skeleton}{where}; give another "
            "--output_dir, or the --skeleton of these records"
        )
    return found


def _add(file, folder, skeleton):
    """Moves a complete file into a folder of records, after the file that names its joints.

    Another process may be adding records with other joints; so one at a time checks and adds.
    """
    with files.locked(folder):
        if not _check_same_joints(folder, skeleton):
            path = os.path.join(folder, records.SKELETON)
            if skeleton != records.SKELETONS[os.path.basename(folder)]:
                files.write_json(path, skeleton.to_json())
            elif os.path.exists(path):  # left by a conversion that was interrupted
                os.remove(path)
        os.replace(file, os.path.join(folder, os.path.basename(file)))
        files.flush(folder)


@contextlib.contextmanager
def _unfinished(output_dir, name) -> Iterator[str]:
    """An empty folder for unfinished files, which only one process uses; what a killed one has left is removed."""
    folder = os.path.join(output_dir, f"{files.PARTIAL}{name}")
    os.makedirs(folder, exist_ok=True)
    with files.locked(folder, f"another process is writing {name} to {output_dir}; give another --name"):
        for left in os.listdir(folder):
            os.remove(os.path.join(folder, left))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


def describe(left_out: collections.Counter) -> str:
    """A list of reasons with their counts, most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())


class _State:
    """What is complete, in a JSON file."""

    def __init__(self, path, source, shard_size, left_out):
        self._path, self._lock = path, threading.Lock()
        values = {"input": source, "people_per_file": shard_size, "left_out": dict(left_out), "files": {}}
        self._values = json.loads(json.dumps(values))
        if not os.path.exists(path):
            return
        try:
            with open(path, encoding="utf-8") as file:
                before = json.load(file)
            for key in ("input", "people_per_file"):
                if before[key] != self._values[key]:
                    difference = _difference(key, before[key], self._values[key], path)
                    raise UserError(
                        f"{path} describes a conversion with {difference}; give another --output_dir or --name, or "
                        "remove the files of that conversion"
                    )
            self._values["files"] = {
                name: {"people": int(one["people"]), "left_out": dict(one["left_out"])}
                for name, one in before["files"].items()
            }
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
            raise UserError(f"{path} is damaged; remove it to convert again") from None

    def has(self, name):
        return name in self._values["files"]

    def samples(self, name):
        return self._values["files"][name]["people"]

    def add(self, name, count, left_out, unfinished):
        with self._lock:
            temporary = os.path.join(unfinished, os.path.basename(self._path))
            self._values["files"][name] = {"people": count, "left_out": dict(left_out)}
            self._values["files"] = dict(sorted(self._values["files"].items()))
            files.write_json(temporary, self._values)
            os.replace(temporary, self._path)

    def totals(self):
        parts = self._values["files"].values()
        reasons = collections.Counter(self._values["left_out"])
        for part in parts:
            reasons.update(part["left_out"])
        return sum(part["people"] for part in parts), reasons


LABELS = {"people": "the number of people", "sha256": "the checksum of the joints"}
"""What a conversion finds in its input, which can differ because its options do."""


def _difference(key, before, now, path):
    """The first entry in which descriptions of a conversion differ, with both values."""
    if isinstance(now, dict):
        keys = [key for key in before | now if before.get(key) != now.get(key)]
        key = min(keys, key=list(LABELS).__contains__)
        before, now = before.get(key), now.get(key)
    if key != "skeleton":
        return f"{LABELS.get(key, key)} {before}, now {now}"
    before, now = (value and Skeleton.from_json(value, f"{path}: 'skeleton'") for value in (before, now))
    if before and now:
        what = before.difference(now) or "its name or the order of its bones differs"
        return f"the skeleton {before}, now {now}: {what}"
    return "{}, now {}".format(*(f"the skeleton {own}" if own else "the usual joints" for own in (before, now)))


def _samples(people, left_out, bar, stop) -> Iterator[dict]:
    with contextlib.closing(_Reader()) as reader:
        for person in people:
            if stop.is_set():
                raise concurrent.futures.CancelledError
            try:
                yield person.sample(reader.read(person.path, person.frame))
            except LeftOut as reason:
                left_out[str(reason)] += 1
            bar.update()


class _Reader:
    """Reads images, and the frames of a video one after the other."""

    def __init__(self):
        self._path, self._video, self._next = None, None, 0

    def read(self, path, frame):
        if frame is None:
            return read_image(path)
        if path != self._path or frame < self._next:
            self.close()
            if not os.path.exists(path):
                raise LeftOut("video missing")
            with files.plain_name(path) as plain:
                self._path, self._video, self._next = path, cv2.VideoCapture(plain), 0
        while self._next < frame and self._video.grab():
            self._next += 1
        found, image = self._video.read() if self._next == frame else (False, None)
        if not found:
            raise LeftOut("frame missing in its video")
        self._next += 1
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def close(self):
        if self._video is not None:
            self._video.release()
            self._path = self._video = None

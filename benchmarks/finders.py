"""Counts the people that each finder finds, and measures its speed.

    python benchmarks/finders.py --data_dir=DATA [--photos=100]
    python benchmarks/finders.py --images=a.jpg,b.png --video=walk.mp4 --sheet=found.png

DATA/mpii holds photographs, each around one person with labeled joints. A finder has found this person if a box and the
box of the joints overlap by half (intersection over union). Other boxes are counted, too: other people, or false ones.

In images and in a frame of the video for each second, boxes are counted only. `--sheet` draws them, to see who is
missed and which boxes are false: SSDLite green, OpenCV's pedestrian detector red.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags

from pose_tf import cli

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with mpii/* records.")
_PHOTOS = flags.DEFINE_integer("photos", 100, "Number of photographs from the beginning.", lower_bound=1)
_IMAGES = flags.DEFINE_list("images", [], "Image files in which to find people.")
_VIDEO = flags.DEFINE_string("video", None, "Video in which to find people.")
_SHEET = flags.DEFINE_string("sheet", None, "PNG to write.")
COLORS = {"SSDLite": (0, 200, 0), "pedestrian HOG": (220, 0, 0)}
FOUND_IOU = 0.5
SHEET_COLUMNS = 4


def labeled_people():
    """(image uint8 [H, W, 3], box of the labeled joints float32 [4]) of photographs."""
    import cv2
    import numpy as np

    from pose_tf.data import records

    shards = records.list_shards(_DATA_DIR.value, "mpii")
    samples = (sample for shard in shards for sample in records.read(shard, records.MPII))
    for _, sample in zip(range(_PHOTOS.value), samples):
        joints = sample["pose2d"][sample["visibility"].ravel() > 0]
        image = cv2.imdecode(np.frombuffer(sample["image"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        yield np.ascontiguousarray(image), np.concatenate([joints.min(axis=0), np.ptp(joints, axis=0)])


def unlabeled_images():
    """(name, uint8 [H, W, 3]) of the images and of a frame for each second of the video."""
    from pose_tf.predict.media import read_photo
    from pose_tf.predict.video_files import Video

    for path in _IMAGES.value:
        yield path, read_photo(path)
    second = 0
    for at, frame in Video(_VIDEO.value) if _VIDEO.value else ():
        if at >= second:
            yield f"{_VIDEO.value} at {at:.1f} s", frame
            second += 1


def timed(finder, image):
    """Boxes in an image, their scores, and milliseconds."""
    start = time.monotonic()
    boxes, scores = finder(image, finder.min_score)
    return boxes, scores, 1000 * (time.monotonic() - start)


def main():
    cli.start_tensorflow()
    import cv2
    import numpy as np

    from pose_tf import viz
    from pose_tf.images import resize, write_png
    from pose_tf.predict.finders import PedestrianHOG, SSDLite
    from pose_tf.predict.people import overlap

    finders = {"SSDLite": SSDLite(), "pedestrian HOG": PedestrianHOG()}
    people = list(labeled_people()) if _DATA_DIR.value else []
    for name, finder in finders.items() if people else ():
        found, others, times = 0, 0, []
        for image, person in people:
            boxes, _, milliseconds = timed(finder, image)
            matching = sum(overlap(box, person)[0] >= FOUND_IOU for box in boxes)
            found += matching > 0
            others += len(boxes) - (matching > 0)
            times.append(milliseconds)
        missed, middle = len(people) - found, np.median(times)
        print(f"{name:16s}found {found}, missed {missed}, other boxes {others}; {middle:.0f} ms an image", flush=True)
    drawings = []
    for where, image in unlabeled_images():
        drawing = image.copy()
        for name, finder in finders.items():
            boxes, scores, milliseconds = timed(finder, image)
            print(
                f"{where}  {name:16s}{len(boxes)} found, scores {np.round(scores, 2).tolist()}; {milliseconds:.0f} ms"
            )
            for x, y, width, height in np.int64(boxes):
                cv2.rectangle(drawing, (x, y), (x + width, y + height), COLORS[name], max(2, image.shape[0] // 200))
        drawings.append(resize(drawing, 480 / image.shape[0]))
    if _SHEET.value and drawings:
        width = max(drawing.shape[1] for drawing in drawings)
        tiles = [np.pad(drawing, ((0, 0), (0, width - drawing.shape[1]), (0, 0))) for drawing in drawings]
        write_png(_SHEET.value, viz.grid(tiles, SHEET_COLUMNS))
        print(f"boxes drawn in {_SHEET.value}")


if __name__ == "__main__":
    cli.run(main)

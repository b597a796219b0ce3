"""Counts the people that each finder finds, and measures its speed.

    python benchmarks/finders.py --data_dir=DATA [--photos=100] [--images=a.jpg,b.png] [--sheet=found.png]

DATA/mpii holds photographs, each around one person with labeled joints. A finder has found this person if a box and the
box of the joints overlap by half (intersection over union). Other boxes are counted, too: other people, or false ones.
`--sheet` draws the boxes in `--images`: SSDLite green, OpenCV's pedestrian detector red.
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
_SHEET = flags.DEFINE_string("sheet", None, "PNG to write.")
COLORS = {"SSDLite": (0, 200, 0), "pedestrian HOG": (220, 0, 0)}
FOUND_IOU = 0.5


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


def main():
    cli.start_tensorflow()
    import cv2
    import numpy as np

    from pose_tf import images
    from pose_tf.predict.finders import PedestrianHOG, SSDLite
    from pose_tf.predict.media import read_photo
    from pose_tf.predict.people import overlap

    finders = {"SSDLite": SSDLite(SSDLite.installed()), "pedestrian HOG": PedestrianHOG()}
    if _DATA_DIR.value:
        people = list(labeled_people())
        for name, finder in finders.items():
            found, others, seconds = 0, 0, []
            for image, person in people:
                start = time.monotonic()
                boxes, _ = finder(image, finder.min_score)
                seconds.append(time.monotonic() - start)
                matching = sum(overlap(box, person)[0] >= FOUND_IOU for box in boxes)
                found += matching > 0
                others += len(boxes) - (matching > 0)
            missed, middle = len(people) - found, 1000 * np.median(seconds)
            print(
                f"{name:16s}found {found}, missed {missed}, other boxes {others}; {middle:.0f} ms an image", flush=True
            )
    sheet = []
    for path in _IMAGES.value:
        image = read_photo(path)
        drawn = image.copy()
        for name, finder in finders.items():
            start = time.monotonic()
            boxes, scores = finder(image, finder.min_score)
            milliseconds = 1000 * (time.monotonic() - start)
            print(f"{path}  {name:16s}{len(boxes)} found, scores {np.round(scores, 2).tolist()}; {milliseconds:.0f} ms")
            for x, y, width, height in np.int64(boxes):
                cv2.rectangle(drawn, (x, y), (x + width, y + height), COLORS[name], max(2, image.shape[0] // 200))
        sheet.append(images.resize(drawn, 480 / image.shape[0]))
    if _SHEET.value and sheet:
        width = max(image.shape[1] for image in sheet)
        images.write_png(_SHEET.value, np.vstack([np.pad(i, ((0, 0), (0, width - i.shape[1]), (0, 0))) for i in sheet]))


if __name__ == "__main__":
    cli.run(main)

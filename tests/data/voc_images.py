"""Writes images in the layout of Pascal VOC."""

import numpy as np
from PIL import Image

OBJECT = "<object><name>{name}</name><difficult>{difficult}</difficult><truncated>{truncated}</truncated>{box}</object>"
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def write_image(folder, name, objects, segmented="<segmented>1</segmented>", size=(120, 160)):
    """A VOC image whose objects are filled boxes: (left, top, right, bottom, name, difficult, truncated)."""
    for part in ("Annotations", "JPEGImages", "SegmentationObject"):
        (folder / part).mkdir(exist_ok=True, parents=True)
    numbers = np.zeros(size, np.uint8)
    entries = []
    for number, (left, top, right, bottom, label, difficult, truncated) in enumerate(objects, start=1):
        numbers[top:bottom, left:right] = number
        box = BOX.format(left, top, right, bottom)
        entries.append(OBJECT.format(name=label, difficult=difficult, truncated=truncated, box=box))
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{segmented}{''.join(entries)}</annotation>")
    colors = np.full((*size, 3), 40, np.uint8)
    colors[numbers > 0] = (200, 100, 50)
    Image.fromarray(colors).save(folder / "JPEGImages" / f"{name}.jpg", quality=100, subsampling=0)
    mask = Image.fromarray(numbers, mode="P")
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    mask.save(folder / "SegmentationObject" / f"{name}.png")

"""A recipe and data for the tests of fingerprints."""

import ml_collections


def make_config(poses="", bank="", probability=0.0):
    return ml_collections.ConfigDict(
        {"data": {"poses": poses}, "occlusion": {"bank": bank, "probability": probability}}
    )


def write_records(folder, **sizes):
    (folder / "h36").mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        (folder / "h36" / name).write_bytes(bytes(size))

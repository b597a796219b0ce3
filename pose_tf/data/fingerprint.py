"""What identifies the data of a training, found without reading it all."""

import os
import zipfile

from pose_tf.data import records


def fingerprint(config, data_dir: str | None) -> dict[str, dict[str, str]]:
    """Names and sizes of the records, checksums of the arrays in .npz files.

    Args:
        config: the recipe.
        data_dir: directory of records, or None.

    Returns:
        {"records", "poses" or "occluders": {file or array: text}}, of those that the recipe reads. Files that cannot
        be read are left to those who read them.

    Raises:
        UserError: `data_dir` is to be read, and holds no records.
    """
    found = {}
    if config.data.get("poses"):
        found["poses"] = of_arrays(config.data.poses)
    elif data_dir:
        found["records"] = of_records(data_dir)
    if config.get("occlusion") and config.occlusion.probability:
        found["occluders"] = of_arrays(config.occlusion.bank)
    return {section: values for section, values in found.items() if values}


def of_records(data_dir: str) -> dict[str, str]:
    """Sizes of the files in `data_dir/h36` by name. UserError if there are none."""
    shards = records.list_shards(data_dir)
    return {os.path.basename(shard): f"{os.path.getsize(shard)} bytes" for shard in shards}


def of_arrays(path: str) -> dict[str, str]:
    """Checksums of an .npz file's arrays by name, whenever it was written; none if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: f"{info.CRC:08x} ({info.file_size} bytes)" for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return {}

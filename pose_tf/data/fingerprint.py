"""Fingerprints of a run's data, computed without reading all of it."""

import os
import zipfile

from pose_tf.data import records


def fingerprint(config, data_dir: str | None) -> dict[str, dict[str, str]]:
    """Names, sizes and checksums of the records, and checksums of the arrays in .npz files.

    Args:
        config: the recipe.
        data_dir: directory of records, or None.

    Returns:
        {"records", "photos", "poses" or "occluders": {file or array: text}} for the data that the recipe reads.
        Unreadable files are left out; reading the data reports them.

    Raises:
        UserError: the recipe reads `data_dir`, but it contains no records.
    """
    found = {}
    if config.data.get("poses"):
        found["poses"] = of_arrays(config.data.poses)
    elif data_dir:
        mix = config.data.get("mix", {"h36": 1.0})
        if mix["h36"]:
            found["records"] = of_records(data_dir)
        if mix.get("mpii"):
            found["photos"] = of_records(data_dir, "mpii")
    if config.get("occlusion") and config.occlusion.probability:
        found["occluders"] = of_arrays(config.occlusion.bank)
    return {section: values for section, values in found.items() if values}


def of_records(data_dir: str, kind: str = "h36") -> dict[str, str]:
    """Sizes and checksums of the files in `data_dir/kind` by name. UserError if it contains no files."""
    return {os.path.basename(shard): _size_and_end(shard) for shard in records.list_shards(data_dir, kind)}


def _size_and_end(path):
    """Size and checksum of a file: a ZLIB stream ends with the checksum of its content, a record with its own."""
    size = os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            file.seek(max(size - 4, 0))
            return f"{size} bytes, checksum {file.read().hex()}"
    except OSError:
        return f"{size} bytes"


def of_arrays(path: str) -> dict[str, str]:
    """Checksums of an .npz file's arrays by name, independent of the time of writing; empty if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: f"{info.CRC:08x} ({info.file_size} bytes)" for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return {}

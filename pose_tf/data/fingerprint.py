"""Fingerprints of a run's data, computed without reading all of it."""

import json
import os
import zipfile
import zlib

from pose_tf.data import records
from pose_tf.data.sources import H36M, MPII, mix_of


def fingerprint(config, data_dir: str | None) -> dict[str, dict[str, str]]:
    """Names, sizes and checksums of the records, and checksums of the arrays in .npz files.

    Args:
        config: the recipe.
        data_dir: directory of records, or None.

    Returns:
        {"records", "photos", "poses", "occluders" or "errors": {file or array: text}} for the data that the recipe
        reads. Unreadable files are left out; reading the data reports them.

    Raises:
        UserError: the recipe reads `data_dir`, but it contains no records.
    """
    found = {}
    if config.data.get("poses"):
        found["poses"] = of_arrays(config.data.poses)
    elif data_dir:
        names = {H36M.name: "records", MPII.name: "photos"}
        found |= {names[kind]: of_records(data_dir, kind) for kind in mix_of(config)}
    if config.get("occlusion") and config.occlusion.probability:
        found["occluders"] = of_arrays(config.occlusion.bank)
    if config.get("augment", {}).get("errors"):
        found["errors"] = of_arrays(config.augment.errors)
    return {section: values for section, values in found.items() if values}


def of_records(data_dir: str, kind: str = "h36") -> dict[str, str]:
    """Sizes and checksums of the files in `data_dir/kind` by name, and of the joints if the records name them.

    Raises:
        UserError: it contains no records, or the file that names their joints is damaged.
    """
    checksum = _end if records.KINDS[kind].compression else _checksum_of_checksums
    found = {os.path.basename(shard): _describe(shard, checksum) for shard in records.list_shards(data_dir, kind)}
    own = records.skeleton_of(os.path.join(data_dir, kind))
    if own != records.SKELETONS[kind]:
        found[records.SKELETON] = f"{own}, checksum {zlib.crc32(json.dumps(own.to_json()).encode()):08x}"
    return found


def _describe(path, checksum):
    """Size and checksum of a file, or its size alone if it cannot be read."""
    size = os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            return f"{size} bytes, checksum {checksum(file, size)}"
    except OSError:
        return f"{size} bytes"


def _end(file, size):
    """The end of a ZLIB stream, which is the Adler-32 checksum of its content."""
    file.seek(max(size - 4, 0))
    return file.read().hex()


def _checksum_of_checksums(file, size):
    """A checksum of the checksums of all records of a file without compression. Skips the records themselves."""
    checksum, place = 0, 0
    while place < size:
        file.seek(place)
        place += int.from_bytes(file.read(8), "little") + records.FRAME_BYTES
        file.seek(max(min(place, size) - 4, 0))
        checksum = zlib.crc32(file.read(4), checksum)
    return f"{checksum:08x}"


def of_arrays(path: str) -> dict[str, str]:
    """Checksums of an .npz file's arrays by name, independent of the time of writing; empty if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: f"{info.CRC:08x} ({info.file_size} bytes)" for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return {}

"""Hidden files that other programs leave in folders of data."""

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "
"""The beginning of the files `._NAME` that a Mac writes beside files with attributes."""


def hide_files(folder, name):
    """Adds hidden files to a folder, some of them named after its file `name`, and a hidden folder."""
    (folder / f"._{name}").write_bytes(APPLE_DOUBLE)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / f".partial-0123-{name}").write_bytes((folder / name).read_bytes()[:-10])
    (folder / ".trash").mkdir()
    (folder / ".trash" / name).write_bytes(b"")

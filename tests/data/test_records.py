"""Tests of records: exact bytes, round trips, and one clear sentence for every kind of damage."""

import contextlib
import gzip
import itertools
import pathlib
import re
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import graph_records, inspection, records
from pose_tf.data.records import H36M, H36M_TEST, MPII
from pose_tf.errors import UserError
from tests.data.hidden import hide_files

RAW = {
    "image": np.uint8,
    "offset": np.float32,
    "intrinsics": np.float32,
    "intrinsics_univ": np.float32,
    "pose2d_crop": np.float32,
    "pose2d": np.float32,
    "pose3d": np.float32,
    "pose3d_univ": np.float32,
}
SHAPES = {
    "image": (256, 256, 3),
    "offset": (2,),
    "scale": (),
    "intrinsics": (1, 4),
    "intrinsics_univ": (1, 4),
    "pose2d_crop": (17, 2),
    "pose2d": (17, 2),
    "pose3d": (17, 3),
    "pose3d_univ": (17, 3),
    "camera": (),
    "subject": (),
    "action": (),
    "subaction": (),
    "framd_id": (),
}
UNLABELLED = ("image", "offset", "scale", "intrinsics", "intrinsics_univ", "camera", "subject", "action", "subaction")


def mpii_sample(number, size=(120, 80)):
    rng = np.random.default_rng(number)
    picture = cv2.resize(rng.integers(0, 256, (6, 4, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    picture[20:50, 20:60] = rng.integers(0, 256, (30, 40, 3))
    return {
        "image": cv2.imencode(".jpg", picture)[1].tobytes(),
        "pose2d": np.float32(rng.uniform(0, 80, (16, 2))),
        "visibility": rng.integers(0, 2, (1, 16)),
    }


@pytest.fixture
def make(make_sample):
    """make(schema, count): samples that have the keys of a schema."""

    def samples(schema, count):
        if schema is MPII:
            return [mpii_sample(number) for number in range(count)]
        return [{key: make_sample(number)[key] for key in schema.fields} for number in range(count)]

    return samples


def examples(path, compression):
    dataset = tf.data.TFRecordDataset(str(path), compression_type=compression)
    return [
        dict(tf.train.Example.FromString(serialized).features.feature) for serialized in dataset.as_numpy_iterator()
    ]


def message_of(path, schema):
    """The error message of reading a bad file."""
    with pytest.raises(UserError) as caught:
        list(records.read(str(path), schema))
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 300
    return message


def outcome(path, data, schema):
    """The samples in a file of these bytes, or None if an error names the file."""
    path.write_bytes(data)
    try:
        return list(records.read(str(path), schema))
    except UserError as error:
        assert str(path) in str(error)
        return None


# --------------------------------------------------------------------------------------------------------- exact bytes


@pytest.mark.parametrize(("schema", "keys"), [(H36M, tuple(SHAPES)), (H36M_TEST, UNLABELLED)])
def test_human36m_records_hold_the_bytes_of_the_schema(tmp_path, make, schema, keys):
    samples = make(schema, 2)
    path = tmp_path / "records"
    assert records.write(str(path), samples, schema) == 2
    assert path.read_bytes()[:1] == b"\x78" and zlib.decompress(path.read_bytes())
    stored = examples(path, "ZLIB")
    assert len(stored) == 2
    for features, sample in zip(stored, samples, strict=True):
        assert sorted(features) == sorted(keys)
        for key in keys:
            kind = features[key].WhichOneof("kind")
            if key in RAW:
                array = np.asarray(sample[key], RAW[key])
                assert array.shape == SHAPES[key] and features[key].bytes_list.value == [array.tobytes()]
            elif key == "scale":
                assert features[key].float_list.value == [np.float32(sample[key])]
            else:
                assert kind == "int64_list" and features[key].int64_list.value == [sample[key]]
        assert len(features["image"].bytes_list.value[0]) == 196608


def test_mpii_records_hold_the_bytes_of_the_schema(tmp_path, make):
    samples = make(MPII, 2)
    path = tmp_path / "records"
    records.write(str(path), samples, MPII)
    assert int.from_bytes(path.read_bytes()[:8], "little") < 20000  # TFRecord's own length: not compressed
    for features, sample in zip(examples(path, ""), samples, strict=True):
        assert sorted(features) == ["image", "pose2d", "visibility"]
        assert features["image"].bytes_list.value == [sample["image"]]
        assert features["pose2d"].bytes_list.value == [sample["pose2d"].tobytes()]
        assert features["visibility"].int64_list.value == sample["visibility"].ravel().tolist()
        assert len(features["visibility"].int64_list.value) == 16


# --------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("schema", [H36M, H36M_TEST, MPII])
def test_read_returns_what_was_written(tmp_path, make, same, schema):
    samples = make(schema, 3)
    path = str(tmp_path / "records")
    assert records.write(path, samples, schema) == 3
    again = list(records.read(path, schema))
    typed = [
        {k: v if k == "image" else np.asarray(v, schema.fields[k].dtype) for k, v in sample.items()}
        for sample in samples
    ]
    assert same(again, typed)
    assert schema is MPII or again[0]["image"].dtype == np.uint8


@pytest.mark.parametrize("schema", [H36M, H36M_TEST])
def test_parse_returns_what_was_written(tmp_path, make, schema):
    samples = make(schema, 3)
    path = str(tmp_path / "records")
    records.write(path, samples, schema)
    dataset = tf.data.TFRecordDataset(path, compression_type="ZLIB").map(lambda s: graph_records.parse(s, schema))
    assert {key: tuple(spec.shape) for key, spec in dataset.element_spec.items()} == {
        key: SHAPES[key] for key in schema.fields
    }
    for parsed, sample in zip(dataset.as_numpy_iterator(), samples, strict=True):
        for key, value in sample.items():
            expected = RAW.get(key, np.float32 if key == "scale" else np.int64)
            assert parsed[key].dtype == expected
            np.testing.assert_array_equal(parsed[key], np.asarray(value, expected))


def test_parse_decodes_jpeg_of_any_size(tmp_path):
    samples = [mpii_sample(0), mpii_sample(1, size=(200, 150))]
    path = str(tmp_path / "records")
    records.write(path, samples, MPII)
    parsed = list(tf.data.TFRecordDataset(path).map(lambda s: graph_records.parse(s, MPII)).as_numpy_iterator())
    assert [sample["image"].shape for sample in parsed] == [(80, 120, 3), (150, 200, 3)]
    for got, sample in zip(parsed, samples, strict=True):
        rgb = cv2.imdecode(np.frombuffer(sample["image"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert got["image"].dtype == np.uint8
        assert np.abs(got["image"].astype(int) - rgb).mean() < 3  # two decoders: the order of colors, not every bit
        np.testing.assert_array_equal(got["pose2d"], sample["pose2d"])
        np.testing.assert_array_equal(got["visibility"], sample["visibility"])
        assert got["visibility"].shape == (1, 16)


def test_records_of_another_writer_are_read(tmp_path, shared_data):
    writer = pathlib.Path(shared_data).parent / "make_records.py"
    command = [sys.executable, str(writer), f"--out={tmp_path}", "--train=12", "--shards=3", "--photos=12"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shards = records.list_shards(str(tmp_path))
    samples = [list(records.read(shard, H36M)) for shard in shards]
    assert [len(shard) for shard in samples] == [4, 4, 4]
    for sample in sum(samples, []):
        assert inspection.problems(sample) == []
        assert sample["subject"] in (1, 5, 6, 7, 8) and sample["image"].std() > 5
    assert sum(1 for _ in records.read(str(tmp_path / "test_set.tfrecords"), H36M_TEST)) == 300
    photos = [len(list(records.read(shard, MPII))) for shard in records.list_shards(str(tmp_path), "mpii")]
    assert photos == [4, 4, 4]


# ------------------------------------------------------------------------------------------------------------- listing


@pytest.mark.parametrize("kind", ["h36", "mpii"])
def test_hidden_files_and_folders_are_no_shards(tmp_path, make, kind):
    path = tmp_path / kind / "a.tfrecord"
    records.write(str(path), make(records.KINDS[kind], 1), records.KINDS[kind])
    hide_files(tmp_path / kind, "a.tfrecord")
    assert records.list_shards(str(tmp_path), kind) == [str(path)]
    path.unlink()
    with pytest.raises(UserError, match=f"{tmp_path}/{kind} contains no records"):
        records.list_shards(str(tmp_path), kind)


def test_list_shards_is_sorted_and_takes_strange_names(tmp_path):
    for name in ("b [1]", "a", "c"):
        (tmp_path / "data [x]" / "h36").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data [x]" / "h36" / name).write_bytes(b"1")
    (tmp_path / "data [x]" / "h36" / "folder").mkdir()
    shards = records.list_shards(str(tmp_path / "data [x]"))
    assert [pathlib.Path(shard).name for shard in shards] == ["a", "b [1]", "c"]


@pytest.mark.parametrize("kind", ["h36", "mpii"])
@pytest.mark.parametrize("exists", [False, True])
def test_missing_or_empty_directory(tmp_path, kind, exists):
    if exists:
        (tmp_path / kind).mkdir()
    with pytest.raises(UserError, match=re.escape(str(tmp_path / kind))):
        records.list_shards(str(tmp_path), kind)


# -------------------------------------------------------------------------------------------------------- damaged files

TEXT = b"To whom it may concern: this is not a file of records.\n" * 30


@pytest.mark.parametrize(
    ("schema", "spoil", "words"),
    [
        (H36M, lambda data: zlib.decompress(data), "expected TFRecords with ZLIB compression.* no compression"),
        (H36M, lambda data: gzip.compress(zlib.decompress(data)), "expected TFRecords with ZLIB compression"),
        (H36M, lambda data: TEXT, ""),
        (H36M, lambda data: b"", "is empty"),
        (MPII, lambda data: zlib.compress(data), "expected TFRecords with no compression.* ZLIB compression"),
        (MPII, lambda data: gzip.compress(data), ""),
        (MPII, lambda data: TEXT, ""),
        (MPII, lambda data: b"", "is empty"),
    ],
    ids=["h36-plain", "h36-gzip", "h36-text", "h36-empty", "mpii-zlib", "mpii-gzip", "mpii-text", "mpii-empty"],
)
def test_files_that_are_something_else(tmp_path, make, schema, spoil, words):
    path = tmp_path / "records"
    records.write(str(path), make(schema, 2), schema)
    path.write_bytes(spoil(path.read_bytes()))
    assert re.search(words, message_of(path, schema))


def test_a_file_that_does_not_exist(tmp_path):
    assert message_of(tmp_path / "gone", H36M) == f"{tmp_path / 'gone'} does not exist"


def boundaries(data):
    """Cuts of a ZLIB file after which it inflates to whole records: {number of records: [cuts]}."""
    plain, ends = zlib.decompress(data), [0]
    while ends[-1] < len(plain):
        ends.append(ends[-1] + 16 + int.from_bytes(plain[ends[-1] : ends[-1] + 8], "little"))
    stream, length, cuts = zlib.decompressobj(), 0, {}
    for cut in range(len(data)):
        if length in ends:
            cuts.setdefault(ends.index(length), []).append(cut)
        length += len(stream.decompress(data[cut : cut + 1]))
    return cuts


@pytest.mark.parametrize("noise", [12, 256], ids=["small", "incompressible"])
def test_a_cut_zlib_file_is_never_taken_for_a_shorter_one(tmp_path, make_sample, noise):
    path = tmp_path / "records"
    records.write(str(path), [make_sample(number, noise) for number in range(3)], H36M)
    data = path.read_bytes()
    between = boundaries(data)
    assert sorted(between) == [0, 1, 2, 3]
    cuts = {cut for group in between.values() for cut in (group[0], group[len(group) // 2], group[-1])}
    cuts |= {0, 1, 2, *range(len(data) - 5, len(data))}
    cuts |= set(np.random.default_rng(noise).integers(3, len(data), 30 - len(cuts)).tolist())
    silent = [cut for cut in sorted(cuts) if outcome(path, data[:cut], H36M) is not None]
    assert silent == [], f"cuts of {len(data)} bytes that raised nothing"


def test_a_cut_inside_a_record_names_the_record(tmp_path, make):
    path = tmp_path / "records"
    records.write(str(path), make(H36M, 3), H36M)
    data = path.read_bytes()
    between = boundaries(data)
    for number in range(3):
        path.write_bytes(data[: (between[number][-1] + between[number + 1][0]) // 2])
        assert f"{path} record {number}: the file ends" in message_of(path, H36M)


def test_a_cut_mpii_file_is_refused_unless_cut_between_records(tmp_path, make, same):
    """An uncompressed TFRecord file does not contain its number of records."""
    path = tmp_path / "records"
    samples = make(MPII, 3)
    records.write(str(path), samples, MPII)
    data, ends = path.read_bytes(), [0]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 16 + int.from_bytes(data[ends[-1] : ends[-1] + 8], "little"))
    assert len(ends) == 4
    rng = np.random.default_rng(0)
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        for cut in (start + 1, start + 8, start + 12, end - 4, end - 1, *rng.integers(start + 1, end, 4)):
            path.write_bytes(data[:cut])
            assert f"{path} record {number}: " in message_of(path, MPII)


@pytest.mark.parametrize("schema", [H36M, MPII], ids=["h36", "mpii"])
def test_a_flipped_bit_never_changes_a_sample(tmp_path, make, make_sample, same, schema):
    path = tmp_path / "records"
    samples = make(MPII, 3) if schema is MPII else [make_sample(number, 48) for number in range(3)]
    records.write(str(path), samples, schema)
    data, original = path.read_bytes(), list(records.read(str(path), schema))
    places = {0, 1, 2, *range(0, len(data), len(data) // 50), *range(len(data) - 4, len(data))}
    refused = 0
    for place in sorted(places):
        spoiled = bytearray(data)
        spoiled[place] ^= 1 << (place % 8)
        samples = outcome(path, bytes(spoiled), schema)
        refused += samples is None
        assert samples is None or same(samples, original), f"the bit flipped in byte {place} changed what is read"
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize("tail", ["bytes", "another file"])
def test_what_follows_the_end_of_a_zlib_file_is_not_ignored(tmp_path, make, tail):
    path = tmp_path / "records"
    records.write(str(path), make(H36M, 2), H36M)
    data = path.read_bytes()
    path.write_bytes(data + (data if tail == "another file" else b"more"))
    message_of(path, H36M)


# ------------------------------------------------------------------------------------------------------ damaged records


def number_list(example, key, values):
    example.features.feature[key].int64_list.value[:] = values


def raw_bytes(example, key, data):
    example.features.feature[key].bytes_list.value[:] = [data]


FAULTS = {
    "missing key": (H36M, lambda e: e.features.feature.__delitem__("pose3d"), "key 'pose3d' is missing"),
    "missing image": (H36M_TEST, lambda e: e.features.feature.__delitem__("image"), "key 'image' is missing"),
    "image too small": (
        H36M,
        lambda e: raw_bytes(e, "image", bytes(196607)),
        "'image' has 196607 bytes, expected 196608",
    ),
    "image too big": (H36M, lambda e: raw_bytes(e, "image", bytes(512 * 512 * 3)), "'image' has 786432 bytes"),
    "image empty": (H36M, lambda e: raw_bytes(e, "image", b""), "'image' has 0 bytes"),
    "16 joints": (H36M, lambda e: raw_bytes(e, "pose2d", bytes(128)), "'pose2d' has 128 bytes, expected 136"),
    "float64 joints": (H36M, lambda e: raw_bytes(e, "pose3d", bytes(408)), "'pose3d' has 408 bytes, expected 204"),
    "NaN": (
        H36M,
        lambda e: raw_bytes(e, "pose3d", np.float32([[0, 0, 1]] * 16 + [[np.nan, 0, 1]]).tobytes()),
        "'pose3d' holds NaN or infinity",
    ),
    "infinity": (
        H36M,
        lambda e: raw_bytes(e, "pose2d_crop", np.full((17, 2), np.inf, np.float32).tobytes()),
        "'pose2d_crop' holds NaN or infinity",
    ),
    "NaN scale": (
        H36M,
        lambda e: e.features.feature["scale"].float_list.value.__setitem__(0, np.nan),
        "'scale' holds NaN or infinity",
    ),
    "two subjects": (H36M, lambda e: number_list(e, "subject", [1, 5]), "'subject' has 2 numbers, expected 1"),
    "scale as an integer": (H36M, lambda e: number_list(e, "scale", [1]), "'scale' has 0 numbers, expected 1"),
    "pose as numbers": (H36M, lambda e: number_list(e, "pose2d", [1] * 34), "'pose2d' is not one string of bytes"),
    "not an Example": (H36M, lambda e: b"\xff" * 40, "not a tf.train.Example"),
    "an empty record": (H36M, lambda e: tf.train.Example().SerializeToString() or b"\n\0", "key 'image' is missing"),
    "no JPEG": (MPII, lambda e: raw_bytes(e, "image", TEXT), "'image' is not an image"),
    "empty JPEG": (MPII, lambda e: raw_bytes(e, "image", b""), "'image' is not an image"),
    "15 visibilities": (
        MPII,
        lambda e: number_list(e, "visibility", [1] * 15),
        "'visibility' has 15 numbers, expected 16",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_read_names_file_record_and_fault(tmp_path, make, rewrite, same, fault):
    schema, spoil, words = FAULTS[fault]
    samples, path = make(schema, 3), tmp_path / "records"
    rewrite(path, schema, lambda number, example: spoil(example) if number == 1 else None, samples)
    assert message_of(path, schema).startswith(f"{path} record 1: {words}")
    key = "pose2d" if schema is MPII else "offset"
    with contextlib.closing(records.read(str(path), schema)) as reader:
        np.testing.assert_array_equal(next(reader)[key], samples[0][key])


def parse_all(path, shard, length, schema):
    stored = graph_records.examples(str(path), length, schema)
    list(
        graph_records.parsed(stored, tf.fill([length], np.int64(shard)), lambda data: graph_records.parse(data, schema))
    )


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "NaN scale"])
def test_parse_refuses_what_read_refuses(tmp_path, make, rewrite, fault):
    schema, spoil, words = FAULTS[fault]
    good, bad = tmp_path / "good", tmp_path / "bad"
    records.write(str(good), make(schema, 2), schema)
    rewrite(bad, schema, lambda number, example: spoil(example) if number == 1 else None, make(schema, 3))
    with pytest.raises(UserError) as caught, graph_records.named_errors([str(good), str(bad)], schema):
        parse_all(good, 0, 2, schema)
        parse_all(bad, 1, 3, schema)
    assert str(caught.value).startswith(f"{bad} record 1: {words}")


def test_half_a_jpeg_is_refused_by_name(tmp_path, make, rewrite):
    def halve(number, example):
        raw_bytes(example, "image", example.features.feature["image"].bytes_list.value[0][: -2000 if number else None])

    path = tmp_path / "records"
    rewrite(path, MPII, halve, make(MPII, 2))
    with pytest.raises(UserError) as caught, graph_records.named_errors([str(path)], MPII):
        parse_all(path, 0, 2, MPII)
    assert str(caught.value).startswith(f"{path} record 1: 'image'")


def test_an_error_of_something_else_stays_what_it_was(tmp_path, make):
    path = str(tmp_path / "records")
    records.write(path, make(H36M, 1), H36M)
    for error in (tf.errors.InvalidArgumentError(None, None, "a layer's"), KeyError("x"), UserError("said")):
        with pytest.raises(type(error)) as caught, graph_records.named_errors([path], H36M):
            raise error
        assert caught.value is error


# ------------------------------------------------------------------------------------------------------------- writing


def test_write_makes_the_folder_and_counts(tmp_path, make):
    path = tmp_path / "new" / "h36" / "records"
    assert records.write(str(path), iter(make(H36M, 3)), H36M) == 3
    assert [file.name for file in path.parent.iterdir()] == ["records"]


def test_write_takes_a_bare_file_name(tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert records.write("records", make(MPII, 1), MPII) == 1
    assert (tmp_path / "records").exists()


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_write_leaves_everything_as_it_was(tmp_path, make, interruption, existing):
    path = tmp_path / "records"
    if existing:
        records.write(str(path), make(H36M, 1), H36M)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def interrupted():
        yield from make(H36M, 2)
        raise interruption

    with pytest.raises(interruption):
        records.write(str(path), interrupted(), H36M)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert len(before) == existing


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image", np.zeros((128, 128, 3), np.uint8)),
        ("pose3d", np.zeros((16, 3))),
        ("scale", [1.0, 2.0]),
        ("pose2d", None),
    ],
)
def test_a_sample_that_does_not_fit_is_not_written(tmp_path, make_sample, key, value):
    sample = make_sample(0)
    if value is None:
        del sample[key]
    else:
        sample[key] = value
    with pytest.raises(ValueError, match=f"'{key}'"):
        records.write(str(tmp_path / "records"), [make_sample(1), sample], H36M)
    assert not list(tmp_path.iterdir())

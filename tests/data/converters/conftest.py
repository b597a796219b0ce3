"""Fixtures of the tests of converters."""

import pytest

from pose_tf.data import inspection, records
from pose_tf.data.converters import convert
from pose_tf.errors import UserError


@pytest.fixture
def output(tmp_path):
    """A directory to write, which does not exist yet."""
    return tmp_path / "output"


@pytest.fixture
def converted(output):
    """converted(format, ...): converts to `output`; the samples of all records in order, and who is left out."""

    def run(source, **options):
        folder, count, left_out = convert(source, str(output), **options)
        schema = records.schema_of(f"{folder}/any")
        samples = [sample for path in records.shards_in(folder) for sample in records.read(path, schema)]
        assert count == len(samples)
        assert not inspection.inspect(str(output)).faults
        return samples, left_out

    return run


@pytest.fixture
def refusal(output):
    """refusal(format, ...): the sentence that refuses a conversion; it writes nothing."""

    def run(source, **options):
        with pytest.raises(UserError) as caught:
            convert(source, str(output), **options)
        assert not [path for path in output.rglob("*") if path.is_file()]
        message = str(caught.value)
        assert ".partial" not in message
        return message

    return run

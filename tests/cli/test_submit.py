"""Tests of `pose-tf submit`."""


def test_a_truncated_test_set_leaves_no_submission(fails, sample_data, detector, lifter, tmp_path):
    cut = tmp_path / "cut.tfrecords"
    data = (sample_data / "test_set.tfrecords").read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    models = (f"--detector={detector}", f"--lifter={lifter}")
    message = fails("submit", *models, f"--records={cut}", f"--output={tmp_path}/submission.csv.gz")
    assert "cut.tfrecords record " in message
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tfrecords"]

"""Command-line tests of the whole pipeline, from records to a prediction."""

import csv
import gzip
import json

import cv2
import numpy as np
import tensorflow as tf

from pose_tf.data import records
from tests.cli.scores import scores


def read_submission(path):
    with gzip.open(path, "rt") as file:
        header, *lines = file.read().splitlines()
    return header.split(","), np.array([[float(value) for value in line.split(",")] for line in lines])


def test_evaluation_agrees_with_an_independent_score_of_the_submission(
    run_tool, sample_data, sharp_detector, lifter, tmp_path
):
    models = (f"--detector={sharp_detector}", f"--lifter={lifter}")
    done = run_tool(
        "evaluate",
        *models,
        f"--data_dir={sample_data}/test",
        f"--output={tmp_path}/report.json",
        f"--preview={tmp_path}/sheet.png",
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == 6
    assert report["subjects"] == [9]
    assert "PA-MPJPE" in done.stdout
    assert cv2.imread(f"{tmp_path}/sheet.png").shape == (6 * 256, 5 * 256, 3)

    records_path = f"{sample_data}/test_set.tfrecords"
    run_tool("submit", *models, f"--records={records_path}", f"--output={tmp_path}/submission.csv.gz")
    header, table = read_submission(f"{tmp_path}/submission.csv.gz")
    assert header[:4] == ["Id", "Hip_x", "Hip_y", "Hip_z"]
    assert header[-1] == "RWrist_z"
    assert len(header) == 52
    np.testing.assert_array_equal(table[:, 0], np.arange(1, 7))
    truth = [
        sample["pose3d"]
        for sample in records.read(f"{sample_data}/test/h36/sample-00000-of-00001.tfrecord", records.H36M)
    ]
    mpjpe, pa_mpjpe = scores(table[:, 1:].reshape(-1, 17, 3), truth)
    total = report["detected_2d"]["total"]
    np.testing.assert_allclose([total["mpjpe"], total["pa_mpjpe"]], [mpjpe, pa_mpjpe], atol=0.01)


def test_exported_model_predicts_as_the_submission_does(run_tool, fails, sample_data, detector, lifter, tmp_path):
    models = (f"--detector={detector}", f"--lifter={lifter}")
    run_tool("export", *models, f"--output_dir={tmp_path}/model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["1"]
    model = tf.saved_model.load(f"{tmp_path}/model/1")
    assert set(model.signatures) == {
        *("serving_default", "images", "image_and_box", "image_box_and_camera", "people", "lift")
    }

    records_path = f"{sample_data}/test_set.tfrecords"
    run_tool("submit", *models, f"--records={records_path}", f"--output={tmp_path}/submission.csv")
    table = np.loadtxt(f"{tmp_path}/submission.csv", delimiter=",", skiprows=1)
    images = np.stack([sample["image"] for sample in records.read(records_path, records.H36M_TEST)])
    by_pixels = model.signatures["images"](images=tf.constant(images))
    np.testing.assert_allclose(by_pixels["pose3d"], table[:, 1:].reshape(-1, 17, 3), atol=0.1)
    encoded = tf.stack([tf.io.encode_png(image) for image in images])
    by_files = model.signatures["serving_default"](image_bytes=encoded)
    np.testing.assert_allclose(by_files["pose2d"], by_pixels["pose2d"], atol=0.01)
    np.testing.assert_allclose(by_files["pose3d"], by_pixels["pose3d"], atol=0.1)
    lifted = model.signatures["lift"](pose2d=by_pixels["pose2d"])
    np.testing.assert_allclose(lifted["pose3d"], by_pixels["pose3d"], atol=0.1)
    # A person of half the size in a larger image, and the box from which the crop was cut.
    canvas = np.zeros((300, 400, 3), np.uint8)
    canvas[60:188, 200:328] = cv2.resize(images[0], (128, 128), interpolation=cv2.INTER_AREA)
    card = json.loads((tmp_path / "model" / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["crop_margin"] == json.loads((lifter / "statistics.json").read_text())["crop_margin"]
    side = 128 / card["crop_margin"]
    box = [[200 + (128 - side) / 2, 60 + (128 - side) / 2, side, side]]
    boxed = model.signatures["image_and_box"](image_bytes=tf.io.encode_png(canvas)[None], box=tf.constant(box))
    small = model.signatures["serving_default"](image_bytes=tf.io.encode_png(canvas[60:188, 200:328])[None])
    np.testing.assert_allclose(boxed["pose2d"][0], small["pose2d"][0] + [200.0, 60.0], atol=0.05)

    flags = (f"--model={tmp_path}/model", f"--output_dir={tmp_path}/poses")
    run_tool("predict", *flags, f"--input={sample_data}/photos", f"--boxes={sample_data}/photos/boxes.csv")
    assert len(list((tmp_path / "poses").iterdir())) == 6 * 6
    with open(sample_data / "photos" / "boxes.csv", newline="") as file:
        (row, *_) = csv.DictReader(file)
    box = [[float(row[key]) for key in ("x", "y", "width", "height")]]
    expected = model.signatures["image_and_box"](image_bytes=encoded[:1], box=tf.constant(box))
    (frame,) = json.loads((tmp_path / "poses" / "person0.json").read_text())["frames"]
    (person,) = frame["people"]
    np.testing.assert_allclose(person["box_px"], box[0], atol=0.01)
    np.testing.assert_allclose(person["pose2d_px"], expected["pose2d"][0], atol=0.05)
    np.testing.assert_allclose(person["pose3d_mm"], expected["pose3d"][0], atol=0.5)
    np.testing.assert_allclose(person["confidence"], expected["confidence"][0], atol=1e-3)
    assert cv2.imread(f"{tmp_path}/poses/person0.png").shape == (256, 256, 3)

    video = cv2.VideoWriter(f"{tmp_path}/still.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 10, (256, 256))
    for _ in range(4):
        video.write(images[0, :, :, ::-1])
    video.release()
    done = run_tool("predict", *flags, f"--input={tmp_path}/still.mp4", f"--box={','.join(map(str, box[0]))}")
    assert "1 person in 4 frames" in done.stdout
    assert len(json.loads((tmp_path / "poses" / "still.json").read_text())["frames"]) == 4
    assert int(cv2.VideoCapture(f"{tmp_path}/poses/still.mp4").get(cv2.CAP_PROP_FRAME_COUNT)) == 4

    (tmp_path / "notes.txt").write_text("not an image")
    flags = (f"--model={tmp_path}/model", f"--output_dir={tmp_path}/none")
    assert "notes.txt is not an image" in fails("predict", *flags, f"--input={tmp_path}/notes.txt")
    message = fails("predict", *flags, f"--input={sample_data}/photos/person0.png", "--box=9000,0,50,50")
    assert "person0.png: the box 9000,0,50,50 is outside of its 256x256 pixels" in message
    done = run_tool("predict", *flags, "--input=-7", ok=False)
    assert (done.returncode, done.stderr) == (1, "error: camera 7 cannot be opened\n")
    (tmp_path / "broken.mp4").write_text("not a video")
    done = run_tool("predict", *flags, f"--input={tmp_path}/broken.mp4", ok=False)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}/broken.mp4 is not a video that can be read\n")
    assert not (tmp_path / "none").exists()

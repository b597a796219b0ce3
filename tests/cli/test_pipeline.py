"""Command-line tests of the whole pipeline, from records to a prediction."""

import csv
import gzip
import json

import cv2
import numpy as np
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.data import records
from pose_tf.data.occluders import OccluderBank
from tests.data.voc_images import write_image


def scores(predicted, truth):
    """MPJPE and PA-MPJPE in mm, computed in NumPy pose by pose."""
    mpjpe, pa_mpjpe = [], []
    for p, t in zip(np.float64(predicted), np.float64(truth)):
        p, t = p - p[0], t - t[0]
        mpjpe.append(np.linalg.norm(p - t, axis=-1).mean())
        p, t = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(p.T @ t)
        flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        aligned = np.trace(np.diag(s) @ flip) / (p**2).sum() * p @ u @ flip @ vt
        pa_mpjpe.append(np.linalg.norm(aligned - t, axis=-1).mean())
    return np.mean(mpjpe), np.mean(pa_mpjpe)


def read_submission(path):
    with gzip.open(path, "rt") as file:
        header, *lines = file.read().splitlines()
    return header.split(","), np.array([[float(value) for value in line.split(",")] for line in lines])


def test_sample_data_is_the_same_for_the_same_seed(run_tool, sample_data, tmp_path):
    run_tool("make_sample_data", f"--output_dir={tmp_path}", "--num_train=40", "--num_test=6", "--num_poses=60")
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    others = sorted(path.relative_to(sample_data) for path in sample_data.rglob("*") if path.is_file())
    assert files == [file for file in others if file.parts[0] != ".pose_tf"]  # which another test may have made
    for file in files:
        assert (tmp_path / file).read_bytes() == (sample_data / file).read_bytes()


def test_inspection_counts_the_records_and_draws_them(run_tool, sample_data, tmp_path):
    done = run_tool("inspect_records", f"--data_dir={sample_data}", f"--preview={tmp_path}/sheet.png")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["h36", "40", "samples"] in rows
    assert ["test_set", "6", "samples"] in rows
    assert ["mpii", "4", "samples"] in rows
    assert all([str(subject), "8"] in rows for subject in (1, 5, 6, 7, 8))
    assert "no faults" in done.stdout
    assert cv2.imread(f"{tmp_path}/sheet.png").shape == (4 * 256, 8 * 256, 3)


def test_occluders_are_cut_out_saved_and_drawn(run_tool, fails, tmp_path):
    write_image(tmp_path / "voc", "a", [(10, 20, 70, 60, "chair", 0, 0), (80, 20, 150, 110, "person", 0, 0)])
    write_image(tmp_path / "voc", "b", [(0, 0, 80, 120, "car", 0, 0)])
    (tmp_path / "voc" / "JPEGImages" / "b.jpg").unlink()
    flags = (f"--voc_dir={tmp_path}/voc", f"--output={tmp_path}/bank.npz")
    done = run_tool("build_occluders", *flags, f"--preview={tmp_path}/bank.png")
    assert "1 objects in" in done.stdout
    assert "b.jpg cannot be read" in done.stdout
    assert [picture.shape for picture in OccluderBank.load(f"{tmp_path}/bank.npz").objects] == [(20, 30, 4)]
    assert cv2.imread(f"{tmp_path}/bank.png").shape == (256, 256, 3)
    assert "has no Annotations" in fails("build_occluders", f"--voc_dir={tmp_path}", f"--output={tmp_path}/none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_inspection_lists_every_damaged_record_and_fails(run_tool, sample_data, tmp_path):
    (shard,) = (sample_data / "h36").iterdir()
    samples = list(records.read(str(shard), records.H36M))[:4]
    samples[1] = samples[1] | {"pose2d": samples[1]["pose2d"] + np.float32(5)}
    samples[3] = samples[3] | {"pose3d": samples[3]["pose3d"] * np.float32(np.nan)}
    records.write(f"{tmp_path}/h36/damaged.tfrecord", samples, records.H36M)
    done = run_tool("inspect_records", f"--data_dir={tmp_path}", ok=False)
    assert done.returncode == 1
    assert "damaged.tfrecord record 1: pose3d projects 5.00 px away from pose2d" in done.stdout
    assert "damaged.tfrecord record 3: 'pose3d' holds NaN or infinity" in done.stdout


def test_training_leaves_a_model_curves_and_reports(detector, lifter):
    for workdir in (detector, lifter):
        names = {path.name for path in workdir.iterdir()}
        assert {"best.keras", "checkpoints", "config.json", "curves.png", "metrics.jsonl", "tensorboard"} <= names
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        assert {line["split"] for line in lines} == {"train", "validation"}
        assert cv2.imread(str(workdir / "curves.png")) is not None
    assert json.loads((lifter / "statistics.json").read_text())["mean_mm"][0] == [0, 0, 0]


def test_a_finished_training_starts_again_and_changes_nothing(lifter, train_lifter):
    before = (lifter / "best.keras").read_bytes()
    train_lifter(lifter)
    assert (lifter / "best.keras").read_bytes() == before


def test_evaluation_agrees_with_an_independent_score_of_the_submission(
    run_tool, sample_data, detector, lifter, tmp_path
):
    models = (f"--detector={detector}", f"--lifter={lifter}")
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


def test_objects_can_be_pasted_over_the_images_that_are_evaluated(run_tool, sample_data, detector, lifter, tmp_path):
    OccluderBank((np.full((120, 120, 4), 255, np.uint8),)).save(f"{tmp_path}/white.npz")
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--data_dir={sample_data}/test")
    for name, more in (("clean", ()), ("pasted", (f"--occluders={tmp_path}/white.npz",))):
        run_tool("evaluate", *flags, *more, f"--output={tmp_path}/{name}.json", f"--preview={tmp_path}/{name}.png")
    clean, pasted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("clean", "pasted"))
    assert pasted["true_2d"] == clean["true_2d"]
    clean, pasted = (cv2.imread(f"{tmp_path}/{name}.png")[:, :256] for name in ("clean", "pasted"))
    whiter = (pasted == 255).all(axis=-1) & (clean < 255).any(axis=-1)
    assert whiter.reshape(6, -1).any(axis=1).all()


def test_a_lifter_is_evaluated_alone_on_a_file_of_poses(run_tool, sample_data, lifter, tmp_path):
    flags = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", "--subjects=8")
    run_tool("evaluate", *flags, f"--output={tmp_path}/report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == 12
    mean = np.float32(json.loads((lifter / "statistics.json").read_text())["mean_mm"])
    with np.load(sample_data / "poses.npz") as poses:
        truth = poses["pose3d"][poses["subject"] == 8]
    total = report["mean_pose"]["total"]
    expected = scores([mean] * len(truth), truth)
    np.testing.assert_allclose([total["mpjpe"], total["pa_mpjpe"]], expected, atol=0.01)
    assert set(report["true_2d"]["joints"]) == set(skeleton.H36M.joints)


def test_pose_files_hold_poses_of_the_training_subjects_that_have_no_image(sample_data):
    with np.load(sample_data / "poses.npz") as poses:
        subjects, counts = np.unique(poses["subject"], return_counts=True)
        pose3d, action = poses["pose3d"], poses["action"]
    assert dict(zip(subjects, counts)) == {1: 12, 5: 12, 6: 12, 7: 12, 8: 12}
    assert set(action) <= set(skeleton.ACTIONS)
    for path in sample_data.rglob("h36/*"):
        pose3d = np.concatenate([pose3d, [sample["pose3d"] for sample in records.read(str(path), records.H36M)]])
    assert len(np.unique(pose3d, axis=0)) == len(pose3d) == 60 + 40 + 6


def test_the_card_of_an_exported_model_has_its_recipes_and_errors(
    run_tool, fails, sample_data, detector, lifter, tmp_path
):
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model", "--precision=bfloat16")
    assert "nowhere.json cannot be read" in fails("export", *flags, "--report=/nowhere.json")
    (tmp_path / "list.json").write_text("[]")
    assert "list.json is not a report" in fails("export", *flags, f"--report={tmp_path}/list.json")
    assert not (tmp_path / "model").exists()

    run_tool("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", f"--output={tmp_path}/report.json")
    run_tool("export", *flags, f"--report={tmp_path}/report.json")
    card = json.loads((tmp_path / "model" / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["training"]["detector"]["model"]["width"] == 4
    assert card["training"]["lifter"]["data"]["batch_size"] == 8
    lines = [json.loads(line) for line in (lifter / "metrics.jsonl").read_text().splitlines()]
    best = min((line for line in lines if line["split"] == "validation"), key=lambda line: line["mpjpe"])
    assert card["validation_errors"]["lifter"]["pa_mpjpe"] == best["pa_mpjpe"]
    assert card["validation_errors"]["lifter"]["step"] == best["step"]
    assert set(card["evaluation"]) == {"samples", "subjects", "trained_on", "selected_on", "true_2d", "mean_pose"}
    assert card["evaluation"]["samples"] == 60
    assert card["precision"] == "bfloat16"


def test_exported_model_predicts_as_the_submission_does(run_tool, fails, sample_data, detector, lifter, tmp_path):
    models = (f"--detector={detector}", f"--lifter={lifter}")
    run_tool("export", *models, f"--output_dir={tmp_path}/model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["1"]
    model = tf.saved_model.load(f"{tmp_path}/model/1")
    assert set(model.signatures) == {"serving_default", "images", "image_and_box", "people", "lift"}

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

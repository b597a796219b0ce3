"""Errors of trained models: in total, by action and by joint, for true and for detected 2D joints."""

import numpy as np
import tensorflow as tf
import tqdm

from pose_tf import geometry, metrics
from pose_tf.augment import OcclusionAugmenter
from pose_tf.data import pipeline
from pose_tf.data.graph_records import named_errors
from pose_tf.data.occluders import OccluderBank
from pose_tf.data.poses import PoseSet, check_in_front
from pose_tf.data.record_index import index_records
from pose_tf.data.records import SKELETON
from pose_tf.data.sources import held_out
from pose_tf.errors import UserError
from pose_tf.geometry import to_camera
from pose_tf.models.estimator import PoseEstimator, lift, sees_images
from pose_tf.skeleton import ACTIONS, H36M, Skeleton, limbs
from pose_tf.workdir import Workdir

OF_ANYONE = (SKELETON, "joints.npy", "subject.npy", "action.npy")
"""Entries of fingerprints that can be the same for other people."""
CHUNK = 4096
PREVIEW_ROWS = 8


def estimate(model, batches, total: int | None = None) -> dict[str, np.ndarray]:
    """Runs a model over batches of crops, with a progress bar.

    Args:
        model: function of a batch that returns {name: tensor [B, …]}, such as `PoseEstimator.call`.
        batches: iterable of uint8 [B, 256, 256, 3], or of tuples of arguments that begin with it.
        total: number of images, for the progress bar.

    Returns:
        The outputs of the model for all images.
    """
    step = tf.function(model, reduce_retracing=True)
    parts = []
    with tqdm.tqdm(total=total, unit=" images", desc="poses") as bar:
        for batch in batches:
            batch = batch if isinstance(batch, tuple) else (batch,)
            parts.append({key: value.numpy() for key, value in step(*batch).items()})
            bar.update(len(batch[0]))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}


def detect_joints(detect, batches, total: int | None = None) -> dict[str, np.ndarray]:
    """Runs a function like `PoseEstimator.detect` over batches of crops, see `estimate`.

    Returns:
        {"pose2d": float32 [N, J, 2] crop px, "confidence": float32 [N, J]}.
    """
    return estimate(lambda batch: dict(zip(("pose2d", "confidence"), detect(batch))), batches, total)


def lift_poses(lift_batch, *joints: np.ndarray) -> np.ndarray:
    """Lifts any number of poses with a function such as `PoseEstimator.lift`.

    Args:
        lift_batch: the function.
        joints: its arguments: float32 [N, J, 2] px and, if it takes them, confidences [N, J].

    Returns:
        float32 [N, J, 3] mm.
    """
    step = tf.function(lift_batch, reduce_retracing=True)
    starts = range(0, len(joints[0]), CHUNK)
    return np.concatenate([step(*(array[start : start + CHUNK] for array in joints)).numpy() for start in starts])


def evaluate_images(
    estimator: PoseEstimator, data_dir: str, subjects, batch_size: int, occluders: OccluderBank | None = None
) -> tuple[dict, dict]:
    """Evaluates both stages on labeled images.

    Args:
        estimator: the estimator to evaluate.
        data_dir: directory of records.
        subjects: the subjects to evaluate on; None for all.
        batch_size: images in a batch.
        occluders: objects to paste over every image, 1 to 8 of them, as `OcclusionAugmenter` does. They are the same in
            every call with the same batch size.

    Returns:
        A report with the parts `pose2d` (see `report_2d`), `detected_2d`, `true_2d` and `mean_pose` (see
        `report_3d`), and `depth`, the median error of the hip's distance from the camera, relative to the distance,
        for `detected_2d` and `true_2d`; and the arrays from which it was computed: the estimator's outputs, `lifted`
        from the true 2D joints, the true poses, and `image`, the first PREVIEW_ROWS images. All poses are in the frame
        of the camera.

    Raises:
        UserError: records are missing or damaged, or a subject has no records.
    """
    index = index_records(data_dir)
    skeleton = estimator.skeleton
    poses = index.poses.in_joints(skeleton)
    poses = poses if subjects is None else poses.select(subjects)
    subjects = np.unique(poses.subject).tolist()
    truth = {"pose2d_crop": [], "pose3d": [], "subject": [], "action": []}
    shown = []
    occlude = OcclusionAugmenter(occluders, probability=1.0) if occluders else None

    def images():
        for number, batch in enumerate(pipeline.labeled_images(index, subjects, batch_size, skeleton=skeleton)):
            for key, values in truth.items():
                values.append(batch[key].numpy())
            image = occlude(batch["image"], training=True, seed=[0, number]) if occlude else batch["image"]
            shown.extend(image[: PREVIEW_ROWS - len(shown)].numpy())
            yield image, batch["pose2d_crop"]

    with named_errors(index.shards):
        predicted = estimate(estimator.call, images(), len(poses))
    truth = {key: np.concatenate(values) for key, values in truth.items()}
    truth2d, frame = truth["pose2d_crop"], estimator.statistics.frame
    intrinsics = _crop_intrinsics(truth["pose3d"], truth2d)
    predicted["pose3d"] = np.asarray(to_camera(predicted["pose3d"], predicted["pose2d"], intrinsics, frame))
    predicted["lifted"] = np.asarray(to_camera(predicted["lifted"], truth2d, intrinsics, frame))
    report = {
        "samples": len(poses),
        "subjects": subjects,
        "pose2d": report_2d(predicted["pose2d"], truth["pose2d_crop"], skeleton=skeleton),
        "detected_2d": report_3d(predicted["pose3d"], truth["pose3d"], truth["action"], skeleton),
        "true_2d": report_3d(predicted["lifted"], truth["pose3d"], truth["action"], skeleton),
        "mean_pose": _report_mean_pose(
            estimator.statistics, truth2d, intrinsics, truth["pose3d"], truth["action"], skeleton
        ),
    }
    if (truth["pose3d"][:, 0, 2] > 0).all():  # not relative to the hip
        detected = (predicted["pose3d"], predicted["pose2d"], predicted["confidence"])
        given = (predicted["lifted"], truth2d, np.ones_like(predicted["confidence"]))
        report["depth"] = {
            name: _depth_error(*arrays, intrinsics, truth["pose3d"])
            for name, arrays in (("detected_2d", detected), ("true_2d", given))
        }
    return report, predicted | {f"true_{key}": value for key, value in truth.items()} | {"image": np.stack(shown)}


def _crop_intrinsics(pose3d, pose2d_crop):
    """Intrinsics of each camera in pixels of the crop, float32 [N, 4]: those that project true 3D to true 2D joints."""
    depth = np.where(pose3d[..., 2:] == 0, 1e-6, np.float64(pose3d[..., 2:]))
    pixels, rays = np.float64(pose2d_crop), np.float64(pose3d[..., :2]) / depth
    pixel, ray = pixels.mean(axis=1, keepdims=True), rays.mean(axis=1, keepdims=True)
    focal = ((rays - ray) * (pixels - pixel)).sum(axis=(1, 2)) / ((rays - ray) ** 2).sum(axis=(1, 2))
    center = pixel[:, 0] - focal[:, None] * ray[:, 0]
    return np.float32(np.stack([focal, center[:, 0], focal, center[:, 1]], axis=-1))


def _depth_error(pose3d, pose2d, confidence, intrinsics, truth):
    """Median error of the distances of the hips from a known camera, relative to the distances; None if the poses have
    no places."""
    hip = geometry.hip_position(*map(np.float32, (pose3d, pose2d, intrinsics, confidence)))
    errors = np.abs(hip[:, 2] / truth[:, 0, 2] - 1)
    return float(np.median(errors[np.isfinite(errors)])) if np.isfinite(errors).any() else None


def evaluate_photos(
    detect, data_dir: str, batch_size: int, only_held_out: bool = False, skeleton: Skeleton = H36M
) -> tuple[dict, dict]:
    """Evaluates a detector on photographs with labeled 2D joints.

    Args:
        detect: function like `PoseEstimator.detect`.
        data_dir: directory with `mpii/*`.
        batch_size: images in a batch.
        only_held_out: evaluate on what training holds out for validation.
        skeleton: of the detector. Photographs may lack labels of some joints.

    Returns:
        A report with the part `pose2d` (see `report_2d`); and the arrays `pose2d`, `confidence`, `true_pose2d_crop`,
        and `image`, the first PREVIEW_ROWS images.

    Raises:
        UserError: records are missing or damaged, or have one joint for two of the skeleton.
    """
    index = index_records(data_dir, kind="mpii")
    index.poses.skeleton.check_converts_to(skeleton, data_dir, may_lack=True)
    subjects = held_out(index.source, index.poses.subject, ()) if only_held_out else np.unique(index.poses.subject)
    truth, shown = [], []

    def images():
        for batch in pipeline.labeled_images(index, subjects, batch_size, skeleton=skeleton):
            truth.append(batch["pose2d_crop"].numpy())
            shown.extend(batch["image"][: PREVIEW_ROWS - len(shown)].numpy())
            yield batch["image"]

    with named_errors(index.shards):
        found = detect_joints(detect, images(), len(index.poses.select(subjects)))
    arrays = found | {"true_pose2d_crop": np.concatenate(truth), "image": np.stack(shown)}
    pose2d = report_2d(arrays["pose2d"], arrays["true_pose2d_crop"], metrics.POSE2D_METRICS, skeleton)
    return {"samples": len(arrays["pose2d"]), "pose2d": pose2d}, arrays


def evaluate_poses(lifter: Workdir, poses: PoseSet, flip_test: bool | None = None) -> tuple[dict, dict]:
    """Evaluates a lifter alone: on true 2D joints, and on detected ones if the poses have them.

    Args:
        lifter: workdir of the lifter.
        poses: the poses to evaluate on.
        flip_test: average with the mirror image; None for the recipe's setting.

    Returns:
        A report with the parts `true_2d`, `mean_pose` and, with detected joints, `pose2d` and `detected_2d`; see
        `report_2d` and `report_3d`; and the arrays from which it was computed, as `evaluate_images` names them:
        `lifted`, with detected joints `pose3d`, `true_pose3d` and `true_subject`.

    Raises:
        UserError: the lifter needs images.
    """
    model, statistics, skeleton = lifter.load_best("lifter"), lifter.statistics(), lifter.skeleton()
    if sees_images(model):
        raise UserError(f"{lifter.path}: its lifter sees the image; give --data_dir and --detector instead of --poses")
    poses = poses.in_joints(skeleton)
    flip_test = lifter.config().flip_test if flip_test is None else flip_test

    def lift_batch(pose2d, confidence=None):
        return lift(model, statistics, pose2d, flip_test, confidence=confidence, skeleton=skeleton)

    frame, intrinsics = statistics.frame, None
    if frame != "camera":
        check_in_front(poses)
        intrinsics = _crop_intrinsics(poses.pose3d, poses.pose2d_crop)

    def predict(pose2d, confidence=None):
        joints = [pose2d] if confidence is None else [pose2d, confidence]
        return np.asarray(to_camera(lift_poses(lift_batch, *joints), pose2d, intrinsics, frame))

    arrays = {"true_pose3d": poses.pose3d, "true_subject": poses.subject, "lifted": predict(poses.pose2d_crop)}
    detected = {}
    if poses.detected is not None:
        arrays["pose3d"] = predict(poses.detected, poses.confidence)
        detected = {
            "pose2d": report_2d(poses.detected, poses.pose2d_crop, skeleton=skeleton),
            "detected_2d": report_3d(arrays["pose3d"], poses.pose3d, poses.action, skeleton),
        }
    report = {
        "samples": len(poses),
        "subjects": np.unique(poses.subject).tolist(),
        **detected,
        "true_2d": report_3d(arrays["lifted"], poses.pose3d, poses.action, skeleton),
        "mean_pose": _report_mean_pose(statistics, poses.pose2d_crop, intrinsics, poses.pose3d, poses.action, skeleton),
    }
    return report, arrays


def _report_mean_pose(statistics, pose2d, intrinsics, target, action, skeleton):
    """The errors of a lifter that always predicts the mean training pose, as a baseline."""
    mean = np.broadcast_to(statistics.mean, target.shape)
    return report_3d(np.asarray(to_camera(mean, pose2d, intrinsics, statistics.frame)), target, action, skeleton)


def seen_in_training(
    workdirs: list[Workdir], subjects: list[int] | None, data: dict[str, str], only_held_out: bool = False
) -> dict:
    """The evaluated people that a run has seen, whose errors are therefore lower than those of new people.

    Args:
        workdirs: directories of the runs.
        subjects: the evaluated subjects; None for photographs, whose people have no numbers.
        data: fingerprint of the evaluation data, see `pose_tf.data.fingerprint`. If a run has read none of its files,
            the same subject numbers mean other people.
        only_held_out: the photographs are those held out for validation.

    Returns:
        {"trained_on": subjects that a run was trained on, "selected_on": other subjects that selected the best
        weights}; for photographs, {"trained_on_photos" or, if `only_held_out`, "selected_on_photos": whether a run has
        read any of their files}.
    """
    data = {name: text for name, text in data.items() if name not in OF_ANYONE}
    if subjects is None:
        seen = any(data.items() & (w.data() or {}).get("photos", {}).items() for w in workdirs)
        return {"selected_on_photos" if only_held_out else "trained_on_photos": seen}
    trained_on, selected_on = set(), set()
    for workdir in workdirs:
        kept = workdir.data() or {}
        if any(data.items() & part.items() for name, part in kept.items() if name != "samples"):
            held_out = set(workdir.config().data.validation_subjects)
            trained_on |= set(subjects) - held_out
            selected_on |= set(subjects) & held_out
    return {"trained_on": sorted(trained_on), "selected_on": sorted(selected_on - trained_on)}


def report_2d(
    predicted: np.ndarray, target: np.ndarray, names=("pixel_error", "pck2d"), skeleton: Skeleton = H36M
) -> dict:
    """Errors of 2D poses.

    Args:
        predicted, target: float [N, J, 2] crop px.
        names: metrics to report, keys of `metrics.POSE2D_METRICS`. Those that need other joints are left out.
        skeleton: of the poses.

    Returns:
        {"total": errors by metric, with the median "pixel_error_median" in px, and "pck2d_limbs", the mean of `pck2d`
        over the joints of arms and legs; "joints": mean error by joint in px; "pck2d_joints": share in 0…1 of
        correct poses by joint; "joints_outside": number of labeled joints outside the crop}. Without the joints of the
        torso, "pck2d_limbs" is None and "pck2d_joints" empty.

    As in training, joints outside the crop do not count, because a heatmap has no cell for them. Joints without a label
    do not count either. An error is None if no joint counts.
    """
    inside, is_labeled = geometry.inside_crop(target).numpy(), geometry.labeled(target).numpy()
    total = {}
    for name in metrics.measurable(names, skeleton):
        mean = metrics.PoseMetric(name, skeleton=skeleton)
        mean.update_state(target, predicted, joint_weights=inside)
        total[name] = float(mean.result()) if mean.count.numpy() else None
    errors = metrics.joint_errors(predicted, target).numpy()
    total["pixel_error_median"] = float(np.median(errors[inside > 0])) if inside.any() else None
    correct = []
    if metrics.can_measure("pck2d", skeleton):
        torso = metrics.segment("pck2d", skeleton)
        measured = inside * is_labeled[:, list(torso)].prod(axis=1, keepdims=True)
        each = metrics.correct_joints(predicted, target, torso, metrics.PCK_ALPHA).numpy()
        correct = _mean_of_each(each, measured)
    of_limbs = [correct[joint] for joint in limbs(skeleton) if correct and correct[joint] is not None]
    total["pck2d_limbs"] = float(np.mean(of_limbs)) if of_limbs else None
    return {
        "total": total,
        "joints": dict(zip(skeleton.joints, _mean_of_each(errors, inside))),
        "pck2d_joints": dict(zip(skeleton.joints, correct)),
        "joints_outside": int(np.sum((inside == 0) & (is_labeled > 0))),
    }


def _mean_of_each(values, weights):
    """Mean of each joint over the poses where its weight is above 0; None if there are none. [N, J] twice -> [J]."""
    return [float(v[w > 0].mean()) if w.any() else None for v, w in zip(values.T, weights.T)]


def report_3d(predicted: np.ndarray, target: np.ndarray, action: np.ndarray, skeleton: Skeleton = H36M) -> dict:
    """Errors of 3D poses.

    Args:
        predicted: float [N, J, 3] mm.
        target: float [N, J, 3] mm.
        action: int [N]; −1 where unknown.
        skeleton: of the poses. Metrics that need other joints are left out.

    Returns:
        {"total": error by metric, the mean over the poses; "actions": the same by action; "action_mean": the mean over
        the actions, as most papers on Human3.6M report it; "joints": MPJPE and PA-MPJPE by joint}. Without known
        actions, "actions" and "action_mean" are empty.
    """
    target = target.astype(np.float32)
    names = metrics.measurable(metrics.POSE3D_METRICS, skeleton)
    errors = {name: metrics.metric_of(name, skeleton)(predicted, target).numpy() for name in names}
    actions = {
        ACTIONS.get(number, f"action {number}"): {name: _mean(e[action == number]) for name, e in errors.items()}
        for number in np.unique(action).tolist()
        if number >= 0
    }
    per_joint = {
        "mpjpe": np.mean(metrics.mpjpe_per_joint(predicted, target), axis=0),
        "pa_mpjpe": np.mean(metrics.pa_mpjpe_per_joint(predicted, target), axis=0),
    }
    joints = {
        joint: {name: float(values[i]) for name, values in per_joint.items()} for i, joint in enumerate(skeleton.joints)
    }
    return {
        "total": {name: _mean(e) for name, e in errors.items()},
        "action_mean": {name: _mean([values[name] for values in actions.values()]) for name in errors if actions},
        "actions": actions,
        "joints": joints,
    }


def _mean(values):
    return float(np.mean(values, dtype=np.float64))

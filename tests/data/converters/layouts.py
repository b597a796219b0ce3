"""Writes tiny data sets in the layouts of the public ones, and computes what is in them by formulas of its own."""

import json

import cv2
import h5py
import numpy as np
import scipy.io
from cdflib import cdfwrite

# ---- a person who faces the camera, so that the right side is on the left of the image

PERSON = {
    "nose": (160, 51), "left_eye": (164, 47), "right_eye": (156, 47), "left_ear": (170, 49), "right_ear": (150, 49),
    "head_top": (160, 36), "upper_neck": (160, 62), "thorax": (160, 72), "pelvis": (160, 126),
    "right_shoulder": (138, 74), "right_elbow": (126, 98), "right_wrist": (118, 121),
    "left_shoulder": (182, 74), "left_elbow": (195, 97), "left_wrist": (207, 118),
    "right_hip": (148, 126), "right_knee": (145, 163), "right_ankle": (143, 201),
    "left_hip": (172, 126), "left_knee": (176, 165), "left_ankle": (179, 203),
}  # fmt: skip
"""Joints in px of an image of SIZE, from 0."""
SIZE = (320, 240)
BOX = (110, 30, 104, 180)
BACKGROUND = 60

MPII_NAMES = [
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
]  # fmt: skip
COCO_NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip
LSP_NAMES = [
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
]  # fmt: skip
KEPT_OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
"""The usual 17 of Human3.6M's 32 joints."""
KEPT_OF_28 = [4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]
"""The same 17 in MPI-INF-3DHP's 28 joints."""


def write_photo(path, dot=None, size=SIZE):
    """A gray image, with a white dot of 5x5 px around a place."""
    image = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    if dot is not None:
        x, y = np.round(dot).astype(int)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 98])


def dot_in(image):
    """The center of the white dot in a crop, px."""
    weight = np.float64(image[..., 0])
    weight[weight < 160] = 0
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def in_crop(points, box):
    """Where pixels of the image are in a crop whose side is 1.25 times the longest side of the box around a person."""
    x, y, width, height = box
    side = 1.25 * max(width, height)
    corner = np.array([x + width / 2 - side / 2, y + height / 2 - side / 2])
    return (np.asarray(points) + 0.5 - corner) * 256 / side - 0.5


def around_joints(points):
    """The box around joints, with half a pixel on every side, and 5% larger."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    middle, extent = (low + high + 1) / 2, 1.05 * (high - low)
    return (*(middle - extent / 2), *extent)


# ----------------------------------------------------------------------------------------------------------------- COCO


def coco_person(image_id=1, joints=PERSON, names=tuple(COCO_NAMES), box=BOX, number=7, **more):
    """One of `annotations`. Joints that are not in `names` have no label: all their numbers are 0."""
    keypoints = []
    for i, name in enumerate(COCO_NAMES):
        keypoints += [*joints[name], 1 + i % 2] if name in names else [0, 0, 0]
    x, y, width, height = box
    return {
        "segmentation": [[x, y, x + width, y, x + width, y + height]],
        "num_keypoints": len(names),
        "area": 0.5 * width * height,
        "iscrowd": 0,
        "keypoints": keypoints,
        "image_id": image_id,
        "bbox": list(box),
        "category_id": 1,
        "id": number,
    } | more


def coco_crowd(image_id=1):
    return coco_person(image_id, names=()) | {
        "iscrowd": 1,
        "segmentation": {"counts": [272, 2, 4, 4], "size": [240, 320]},
    }


def write_coco(path, people, images=1, size=SIZE):
    """`person_keypoints_*.json` with images 1, 2, … that are called 000000000001.jpg and so on."""
    content = {
        "info": {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}],
        "images": [
            {"license": 4, "file_name": f"{i + 1:012d}.jpg", "height": size[1], "width": size[0], "id": i + 1}
            for i in range(images)
        ],
        "annotations": people,
        "categories": [{"supercategory": "person", "id": 1, "name": "person", "keypoints": COCO_NAMES}],
    }
    path.write_text(json.dumps(content))


# ----------------------------------------------------------------------------------------------------------------- MPII


def struct(*items):
    """A MATLAB structure array [1, N]. What an item lacks is an empty matrix."""
    names = list(dict.fromkeys(name for item in items for name in item))
    array = np.empty((1, len(items)), [(name, object) for name in names])
    for i, item in enumerate(items):
        for name in names:
            array[name][0, i] = item.get(name, np.zeros((0, 0)))
    return array


def mpii_person(joints=PERSON, names=tuple(MPII_NAMES), center=(161.0, 110.0), scale=0.9):
    """An element of `annorect`. MATLAB counts pixels from 1; the visibility is a letter, a number or missing."""
    points = []
    for i, name in enumerate(MPII_NAMES):
        if name in names:
            x, y = joints[name]
            visible = ["", "0", "1", 1, 0][i % 5]
            visible = np.zeros((0, 0)) if visible == "" else visible
            points.append({"x": x + 1.0, "y": y + 1.0, "id": np.uint8(i), "is_visible": visible})
    points = points[::-1]  # in any order
    return {
        "x1": 150.0, "y1": 35.0, "x2": 171.0, "y2": 63.0,
        "annopoints": struct({"point": struct(*points)}),
        "scale": scale,
        "objpos": struct({"x": center[0], "y": center[1]}),
    }  # fmt: skip


def write_mpii(path, images):
    """`mpii_human_pose_v1_u12_1.mat`: images are (name, elements of `annorect`, whether in the training set)."""
    annolist = struct(
        *(
            {
                "image": struct({"name": name}),
                "annorect": struct(*people) if people else np.zeros((0, 0)),
                "frame_sec": np.zeros((0, 0)),
                "vididx": np.zeros((0, 0)),
            }
            for name, people, _ in images
        )
    )
    release = struct(
        {
            "annolist": annolist,
            "img_train": np.array([[train for _, _, train in images]], np.uint8),
            "version": "12",
            "single_person": np.full((len(images), 1), 1.0, object),
            "act": struct({"cat_name": "sports", "act_name": "curling", "act_id": 1.0}),
            "video_list": np.array([["video"]], object),
        }
    )
    scipy.io.savemat(path, {"RELEASE": release}, do_compression=True)


def hrnet_person(name, joints=PERSON, names=tuple(MPII_NAMES), center=(161.0, 110.0), scale=0.9):
    """One of HRNet's `train.json`, which keeps MATLAB's pixels."""
    return {
        "joints_vis": [int(joint in names) for joint in MPII_NAMES],
        "joints": [[joints[n][0] + 1.0, joints[n][1] + 1.0] if n in names else [-1.0, -1.0] for n in MPII_NAMES],
        "image": name,
        "scale": scale,
        "center": list(center),
    }


# ------------------------------------------------------------------------------------------------------------------ LSP


def lsp_joints(joints=PERSON):
    """[14, 2] px, as MATLAB counts them. The neck is the base of the neck."""
    return np.array([joints["thorax" if name == "neck" else name] for name in LSP_NAMES], float) + 1


def write_lsp(path, people, flags):
    """`joints.mat` of Leeds Sports Pose [3, 14, N]; flags [N, 14] are 1 for occluded joints."""
    scipy.io.savemat(path, {"joints": np.concatenate([people, flags[..., None]], axis=-1).transpose(2, 1, 0)})


def write_lspet(path, people, flags):
    """`joints.mat` of its extended training set [14, 3, N]; flags [N, 14] are 0 for joints without a label."""
    scipy.io.savemat(path, {"joints": np.concatenate([people, flags[..., None]], axis=-1).transpose(1, 2, 0)})


# --------------------------------------------------------------------------------------------------- cameras and people


def people_before_camera(rng, frames, joints):
    """Joints in the frame of a camera, mm: [T, J, 3]."""
    pose = rng.normal(0, [250, 400, 250], (1, joints, 3)) + rng.normal(0, 40, (frames, joints, 3))
    return pose + [0, 0, 4500] + rng.normal(0, 100, (frames, 1, 3))


def pinhole(points, intrinsics):
    """fx, cx, fy, cy."""
    fx, cx, fy, cy = intrinsics
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)


def write_video(path, grays, size=(64, 64)):
    """A video whose frames have these gray levels, or these colors: blue, green, red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter_fourcc(*{".mp4": "mp4v", ".avi": "MJPG"}[path.suffix])
    video = cv2.VideoWriter(str(path), code, 50, size)
    for gray in grays:
        video.write(np.full((size[1], size[0], 3), gray, np.uint8))
    video.release()


def gray_of(sample):
    """The gray level in the middle of a record's image."""
    return float(sample["image"][118:138, 118:138].mean())


# ------------------------------------------------------------------------------------------------ Human3.6M's own files


def write_cdf(path, poses, majority="column_major"):
    """Joints [T, J, D] as the variable Pose [1, T, J * D]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = np.float32(poses).reshape(1, len(poses), -1)
    if majority == "column_major":  # cdflib stores bytes as they are
        flat = np.ascontiguousarray(flat[0].T).reshape(flat.shape)
    file = cdfwrite.CDF(str(path), cdf_spec={"Majority": majority}, delete=True)
    kind = {"Data_Type": file.CDF_FLOAT, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": list(flat.shape[1:])}
    file.write_var({"Variable": "Pose"} | kind, var_data=flat)
    file.close()


def write_h36m(root, subject, name, pose2d, pose3d, univ=None, folders="MyPoseFeatures/{}"):
    """The CDF files of one action and camera; `name` is such as "Directions 1.54138969"."""
    poses = {"D2_Positions": pose2d, "D3_Positions_mono": pose3d, "D3_Positions_mono_universal": univ}
    for kind, pose in poses.items():
        if pose is not None:
            write_cdf(root / subject / folders.format(kind) / f"{name}.cdf", pose)


def write_h36m_fetch(folder, views, old=False):
    """`annot.h5` of an action. Views are {camera: (frames from 1, pose2d, pose3d, univ, intrinsics, of univ)}."""
    folder.mkdir(parents=True, exist_ok=True)
    of_all = {"pose/2d": [], "pose/3d-univ": [], "pose/3d": [], "frame": [], "camera": [], "subject": [], "action": []}
    with h5py.File(folder / "annot.h5", "w") as file:
        for camera, (frames, pose2d, pose3d, univ, intrinsics, intrinsics_univ) in views.items():
            of_all["pose/2d"].append(pose2d)
            of_all["pose/3d-univ"].append(univ)
            of_all["pose/3d"].append(pose3d)
            of_all["frame"].append(frames)
            for key, number in (("camera", int(camera)), ("subject", 1), ("action", 2)):
                of_all[key].append(np.full(len(frames), number))
            file[f"intrinsics/{camera}"] = np.float64(intrinsics_univ if old else intrinsics)
            if not old:
                file[f"intrinsics-univ/{camera}"] = np.float64(intrinsics_univ)
        for key, parts in of_all.items():
            if not (old and key == "pose/3d"):
                file[key] = np.concatenate(parts)


# --------------------------------------------------------------------------------------------------------- MPI-INF-3DHP


def write_mpi_inf_3dhp(folder, annot2, annot3, univ_annot3, cameras=None):
    """`annot.mat` of a sequence: poses [C, T, 28, 2 or 3], as cells [C, 1] of [T, 56] or [T, 84]."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for key, poses in {"annot2": annot2, "annot3": annot3, "univ_annot3": univ_annot3}.items():
        content[key] = np.empty((len(poses), 1), object)
        for i, pose in enumerate(poses):
            content[key][i, 0] = np.reshape(pose, (len(pose), -1))
    count, frames = len(annot2), len(annot2[0])
    content["cameras"] = np.arange(count)[None] if cameras is None else np.array([cameras])
    content["frames"] = np.arange(frames)[:, None]
    scipy.io.savemat(folder / "annot.mat", content, do_compression=True)


# ---------------------------------------------------------------------------------------------------------- VideoPose3D

LENSES = [
    ((512.54, 515.45), (1145.05, 1143.78), (-0.20709892, 0.24777518, -0.00307515), (-0.0009757, -0.00142447), 1002),
    ((508.85, 508.06), (1149.68, 1147.59), (-0.19421363, 0.24040854, 0.00681998), (-0.00161903, -0.00274089), 1000),
    ((519.82, 501.40), (1149.14, 1148.80), (-0.20833819, 0.25548801, -0.0024605), (0.00148439, -0.0007599), 1000),
    ((514.97, 501.88), (1145.51, 1144.77), (-0.19838409, 0.21832368, -0.00894781), (-0.00058721, -0.00181336), 1002),
]
"""Human3.6M's cameras: center, focal lengths, radial and tangential distortion, height; the width is 1000."""


def looking_at(place, target):
    """The rotation from the world, whose z is up, to the frame of a camera at a place: x right, y down, z away."""
    away = (target - place) / np.linalg.norm(target - place)
    right = np.cross(away, [0, 0, 1])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def to_cameras(world):
    """World [..., 3] m -> the frames of four cameras around the middle, m."""
    views = []
    for number in range(4):
        turn = 0.4 + number * np.pi / 2
        place = np.array([4.6 * np.cos(turn), 4.6 * np.sin(turn), 1.5 + 0.05 * number])
        views.append((world - place) @ looking_at(place, np.array([0.1, -0.2, 0.9])).T)
    return views


def project_to_2d(camera_frame, lens):
    """VideoPose3D's projection, in screen coordinates that are -1 ... 1 from left to right, and then in px."""
    center, focal, k, p, height = lens
    width = 1000
    center = np.array(center) / width * 2 - [1, height / width]
    focal = np.array(focal) / width * 2
    xx = np.clip(camera_frame[..., :2] / camera_frame[..., 2:], -1, 1)
    r2 = np.sum(xx**2, axis=-1, keepdims=True)
    radial = 1 + np.sum(np.array(k) * np.concatenate([r2, r2**2, r2**3], axis=-1), axis=-1, keepdims=True)
    tangential = np.sum(np.array(p) * xx, axis=-1, keepdims=True)
    screen = focal * (xx * (radial + tangential) + np.array(p) * r2) + center
    return np.float32((screen + [1, height / width]) * width / 2)


def see(world):
    """The true 2D joints of every camera."""
    return {
        subject: {
            action: [project_to_2d(view[:, KEPT_OF_32], lens) for view, lens in zip(to_cameras(pose), LENSES)]
            for action, pose in actions.items()
        }
        for subject, actions in world.items()
    }


def people_in_world(rng, frames):
    """32 joints of someone who walks about within sight of all cameras, meters, z up: float32 [T, 32, 3]."""
    pose = rng.normal(0, [0.25, 0.25, 0.45], (1, 32, 3)) + rng.normal(0, 0.05, (frames, 32, 3))
    return np.float32(pose + [0, 0, 0.95] + rng.uniform([-0.7, -0.7, 0], [0.7, 0.7, 0.02], (frames, 1, 3)))


def write_videopose3d(folder, world, pixels, name="gt"):
    """`data_3d_h36m.npz` and `data_2d_h36m_NAME.npz`."""
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=world)
    pairs = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": pairs}
    np.savez_compressed(folder / f"data_2d_h36m_{name}.npz", positions_2d=pixels, metadata=metadata)

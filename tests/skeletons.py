"""Skeletons of several numbers of joints, in several orders and with several names."""

from pose_tf.skeleton import H36M, Skeleton, find_skeleton

H36M_16, BODY_14 = find_skeleton("h36m_16"), find_skeleton("body_14")
_ENDS = {"LToes": "LFoot", "RToes": "RFoot", "LHand": "LWrist", "RHand": "RWrist"}
BODY_21 = Skeleton(
    "body_21",
    (*H36M.joints, *_ENDS),
    (*H36M.bones, *((17 + i, H36M.index(parent)) for i, parent in enumerate(_ENDS.values()))),
)
"""Human3.6M's joints, toes and hands."""
PERMUTED = Skeleton.from_json(
    {
        "name": "permuted",
        "joints": [
            "Hip", "Head", "LWrist", "RFoot", "LElbow", "Neck/Nose", "RKnee", "LShoulder", "RHip", "Thorax", "LFoot",
            "RShoulder", "LKnee", "Spine", "RWrist", "LHip", "RElbow",
        ],
        "bones": [[H36M.joints[child], H36M.joints[parent]] for child, parent in reversed(H36M.bones)],
    },
    "permuted",
)  # fmt: skip
"""Human3.6M's joints, of which many come before their parents."""
_NAMES = {"Hip": "Hip/Pelvis", "LFoot": "LAnkle/LFoot", "RFoot": "RFoot/RAnkle", "Thorax": "Base/Thorax"}
COMPOSITE = Skeleton(
    "composite", tuple(_NAMES.get(joint, joint) for joint in PERMUTED.joints), tuple(reversed(PERMUTED.bones))
)
"""The same joints, of which some have further names."""
SKELETONS = (H36M, H36M_16, BODY_14, BODY_21, PERMUTED, COMPOSITE)
LEGS = Skeleton.from_json(
    {
        "name": "legs",
        "joints": ["Hip", "LFoot", "RKnee", "LHip", "RFoot", "LKnee", "RHip"],
        "bones": [
            ["LFoot", "LKnee"], ["RKnee", "RHip"], ["LHip", "Hip"], ["RFoot", "RKnee"], ["LKnee", "LHip"],
            ["RHip", "Hip"],
        ],
    },
    "legs",
)  # fmt: skip
"""Joints that cover half of the body."""

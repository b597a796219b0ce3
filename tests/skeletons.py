"""Skeletons of several numbers of joints."""

from pose_tf.skeleton import H36M, Skeleton, find_skeleton

H36M_16, BODY_14 = find_skeleton("h36m_16"), find_skeleton("body_14")
_ENDS = {"LToes": "LFoot", "RToes": "RFoot", "LHand": "LWrist", "RHand": "RWrist"}
BODY_21 = Skeleton(
    "body_21",
    (*H36M.joints, *_ENDS),
    (*H36M.bones, *((17 + i, H36M.index(parent)) for i, parent in enumerate(_ENDS.values()))),
)
"""Human3.6M's joints, toes and hands."""
SKELETONS = (H36M, H36M_16, BODY_14, BODY_21)

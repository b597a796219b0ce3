"""Published evaluation protocols by name: their data, and the columns of the tables that papers print."""

import dataclasses

H36M_COLUMNS = {
    "Direct.": "Directions", "Discuss.": "Discussion", "Eat": "Eating", "Greet": "Greeting", "Phone": "Phoning",
    "Photo": "Taking Photo", "Pose": "Posing", "Purch.": "Purchases", "Sit": "Sitting", "SitD.": "Sitting Down",
    "Smoke": "Smoking", "Wait": "Waiting", "WalkD.": "Walking Dog", "Walk": "Walking", "WalkT.": "Walk Together",
}  # fmt: skip
"""Values of `skeleton.ACTIONS` by the column that papers on Human3.6M print."""
ACTION_MEAN, SAMPLE_MEAN = "Avg.", "Samples"
MEAN, PCK, AUC, MPJPE = "Mean", "PCK", "AUC", "MPJPE"

_LIMBS = {
    "Shoulder": ("LShoulder", "RShoulder"),
    "Elbow": ("LElbow", "RElbow"),
    "Wrist": ("LWrist", "RWrist"),
    "Hip": ("LHip", "RHip"),
    "Knee": ("LKnee", "RKnee"),
    "Ankle": ("LFoot", "RFoot"),
}
MPII_GROUPS = {"Head": ("Head", "Neck/Nose")} | _LIMBS
"""Joints by column: the 14 of MPII's table, which leaves out pelvis and thorax. Records have MPII's neck as
Human3.6M's."""
LSP_GROUPS = {"Head": ("Head", "Thorax")} | _LIMBS
"""The 14 joints of Leeds Sports Pose by column. Its neck is the base of the neck, which is Human3.6M's thorax."""
MPI_INF_GROUPS = {"Head": ("Head",), "Neck": ("Thorax",)} | _LIMBS
"""The 14 joints that MPI-INF-3DHP's evaluation counts, by column. Its neck is Human3.6M's thorax."""
COCO_COLUMNS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""The numbers of COCO's evaluation of keypoints, in its order."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A published way to evaluate.

    Attributes:
        name: value of `--protocol`.
        title: what the table shows, with the unit.
        data: where its people come from: "h36", records of Human3.6M's kind or a pose file; "mpii", records of
            photographs; "coco", COCO's annotations and images.
        columns: of the table, as papers print them.
        metric: name of the error in reports, such as "mpjpe".
        subjects: numbers of the subjects that it evaluates on; empty for everyone in the data.
        groups: names of joints by column, for tables by joint.
        action_mean: whether the figure that papers print is the mean over the actions, not over the samples.
        notes: what a reader of the table has to know.
    """

    name: str
    title: str
    data: str
    columns: tuple[str, ...]
    metric: str
    subjects: tuple[int, ...] = ()
    groups: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    action_mean: bool = False
    notes: tuple[str, ...] = ()


def _h36m(name, metric, title):
    return Protocol(
        name,
        f"{title} [mm], subjects 9 and 11",
        "h36",
        (*H36M_COLUMNS, ACTION_MEAN, SAMPLE_MEAN),
        metric,
        subjects=(9, 11),
        action_mean=True,
        notes=(f"{ACTION_MEAN} is the mean over the actions, {SAMPLE_MEAN} that over the samples.",),
    )


_ALL_PROTOCOLS = (
    _h36m("h36m_1", "mpjpe", "Human3.6M, protocol 1: MPJPE"),
    _h36m("h36m_2", "pa_mpjpe", "Human3.6M, protocol 2: PA-MPJPE"),
    Protocol(
        "mpi_inf_3dhp",
        "MPI-INF-3DHP: 3DPCK at 150 mm [%], AUC [%], MPJPE [mm]",
        "h36",
        (*MPI_INF_GROUPS, PCK, AUC, MPJPE),
        "pck3d",
        groups=MPI_INF_GROUPS,
        notes=(
            "PCK and AUC count 14 joints, without pelvis, spine and the middle of the head; MPJPE counts all.",
            "Published figures are those of the test set's six sequences, with poses scaled to the universal skeleton.",
        ),
    ),
    Protocol(
        "pckh",
        "MPII: PCKh@0.5 [%]",
        "mpii",
        (*MPII_GROUPS, MEAN),
        "pckh",
        groups=MPII_GROUPS,
        notes=(
            "The head reaches from its top to the neck. MPII's own evaluation takes 0.6 times the diagonal of a "
            "rectangle around the head, which records do not contain: its figures differ.",
            f"{MEAN} counts every labeled joint once, inside the crop or not.",
        ),
    ),
    Protocol(
        "lsp",
        "Leeds Sports Pose: PCK@0.2 of the torso [%]",
        "mpii",
        (*LSP_GROUPS, MEAN),
        "pck2d",
        groups=LSP_GROUPS,
        notes=(
            "The torso reaches from the left shoulder to the right hip.",
            f"{MEAN} counts every labeled joint once, inside the crop or not.",
        ),
    ),
    Protocol(
        "coco",
        "COCO: AP and AR of OKS over 12 joints [%]",
        "coco",
        COCO_COLUMNS,
        "oks",
        notes=(
            "Only the 12 joints of arms and legs count, without nose, eyes and ears: these figures are not comparable "
            "with published AP over 17 keypoints.",
        ),
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL_PROTOCOLS}
"""Protocols by name.

h36m_1 and h36m_2: Ionescu et al. (PAMI 2014), with the subjects and the two errors that Martinez et al. (ICCV 2017)
report: relative to the hip, and after Procrustes alignment with scale, over 17 joints. Older papers mean other things
by these numbers, such as 14 joints, or every 64th frame of subject 11.

mpi_inf_3dhp: Mehta et al. (3DV 2017). Like the authors' MATLAB code, PCK and AUC count 14 joints relative to the pelvis
(head top, neck, shoulders, elbows, wrists, hips, knees, ankles), AUC with the thresholds 0, 5, … 150 mm, and MPJPE
counts 17 joints. That code counts errors below a threshold, `metrics.pck3d` also those equal to it.

pckh: Andriluka et al. (CVPR 2014), with the columns of their evaluation code: head is the mean of head top and upper
neck.

lsp: Johnson and Everingham (BMVC 2010); PCK of Yang and Ramanan (PAMI 2013), person-centric.

coco: Lin et al. (ECCV 2014), https://cocodataset.org/#keypoints-eval.
"""

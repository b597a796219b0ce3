"""Names of subjects and actions in the files of Human3.6M."""

import re
from collections.abc import Iterable

from pose_tf.skeleton import ACTIONS

_OTHER_SPELLINGS = {"photo": "takingphoto", "walkdog": "walkingdog", "walkingtogether": "walktogether"}
_NUMBERS = {name.replace(" ", "").lower(): number for number, name in ACTIONS.items()}


def action_numbers(name: str, others: Iterable[str] = ()) -> tuple[int, int]:
    """(action, subaction) from names such as "Walking", "WalkDog 1", "Sitting Down-2": the numbers of the records.

    Args:
        name: name of a recording of a subject.
        others: names of the subject's recordings. If one of the same action has no number, it is the first, and the
            others follow: "Directions" and "Directions 1" are 1 and 2.

    Returns:
        The action, −1 if it is unknown, and the subaction.
    """
    action, number = _parse(name)
    without_number = (action, 0) in map(_parse, [name, *others])
    return action, number + without_number


def _parse(name):
    """The action, and the number after it; 0 if there is none."""
    stem, digits = re.fullmatch(r"(.*?)[ _-]*(\d*)", name.strip()).groups()
    stem = re.sub("[ _-]", "", stem).lower()
    return _NUMBERS.get(_OTHER_SPELLINGS.get(stem, stem), -1), int(digits or 0)


def subject_number(name: str) -> int:
    """The number in names such as S11; ValueError if there is none."""
    found = re.search(r"\d+", name)
    if not found:
        raise ValueError(f"'{name}' has no number")
    return int(found[0])

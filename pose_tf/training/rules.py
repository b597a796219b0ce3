"""Rules for the values in recipes. `value in rule` says whether a value is valid, `str(rule)` which ones are."""

import dataclasses

MOST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`. `above` and `below` exclude the ends; `whole` allows only whole numbers."""

    low: float
    high: float
    _: dataclasses.KW_ONLY
    whole: bool = False
    above: bool = False
    below: bool = False

    def __contains__(self, value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        is_high = value > self.low if self.above else value >= self.low
        is_low = value < self.high if self.below else value <= self.high
        return is_high and is_low  # both are False for NaN

    def __str__(self):
        low = f"{'above' if self.above else 'at least'} {self.low}"
        high = "" if self.high == MOST else f" and {'below' if self.below else 'at most'} {self.high}"
        return f"{'a whole number of ' if self.whole else ''}{low}{high}"


@dataclasses.dataclass(frozen=True)
class Several:
    """Tuples of whole numbers of at least `low`. `counts` lists the allowed lengths; by default any length."""

    low: int
    text: str
    counts: tuple[int, ...] = ()

    def __contains__(self, values) -> bool:
        if not isinstance(values, tuple | list) or (self.counts and len(values) not in self.counts):
            return False
        return all(value in Range(self.low, MOST, whole=True) for value in values)

    def __str__(self):
        return self.text


class Kind:
    """Values of one type."""

    def __init__(self, kind: type, text: str):
        self._kind, self._text = kind, text

    def __contains__(self, value) -> bool:
        return isinstance(value, self._kind)

    def __str__(self):
        return self._text


TEXT, SWITCH = Kind(str, "a string"), Kind(bool, "True or False")
SHARE = Range(0, 1)
COUNT, POSITIVE_COUNT = Range(0, MOST, whole=True), Range(1, MOST, whole=True)
FACTOR = Range(0, 1e6)

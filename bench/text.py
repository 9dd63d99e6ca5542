"""Generates a text to train on: sums in English words.

The text is a pure function of its length, so nothing is downloaded and no licence applies.
"""

import numpy as np

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety"
)
_SMALL, _TENS = _WORDS.split()[:20], _WORDS.split()[20:]
_FORMS = (
    "{a} and {b} make {c}. ",
    "take {b} from {c}: {a} is left. ",
    "{c} is {b} more than {a}. ",
    "who has {a} and is given {b} has {c}. ",
)


def in_words(number: int) -> str:
    """Spells a number from 0 to 9999 in English.

    Example:
        >>> in_words(1342)
        'one thousand three hundred and forty-two'
    """
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[rest]}" if rest else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    joint = " and " if rest and (rest < 100) else " "
    return f"{_SMALL[head]} {name}" + (joint + in_words(rest) if rest else "")


def characters(length: int) -> tuple[np.ndarray, int]:
    """Returns the text as int32[length] of character ids, and the size of the alphabet."""
    rng = np.random.default_rng(0)
    parts: list[str] = []
    written = 0
    while written < length:
        a, b = (int(n) for n in rng.integers(0, 5000, 2))
        form = _FORMS[rng.integers(len(_FORMS))]
        parts.append(form.format(a=in_words(a), b=in_words(b), c=in_words(a + b)))
        written += len(parts[-1])
    codes = np.frombuffer("".join(parts)[:length].encode("ascii"), np.uint8)
    alphabet, ids = np.unique(codes, return_inverse=True)
    return ids.astype(np.int32), len(alphabet)

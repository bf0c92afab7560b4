"""How well it finds, on labelled texts that are made by a seed: what benchmarks/pii.py measures beside others."""

from collections import Counter

import pytest

from afterward.pii import find
from tests.support.pii_samples import Sample, negatives, positives

COUNT = 2_400


def overlaps(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def found_in(sample: Sample) -> list[tuple[int, int, str]]:
    return [(one.start, one.end, one.kind.value) for one in find(sample.text)]


@pytest.mark.parametrize("seed", [5, 105])
def test_f1_of_each_kind(seed: int) -> None:
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for sample in positives(COUNT, seed):
        found = found_in(sample)
        for one in sample.spans:
            (right if any(overlaps(one, other) for other in found) else missed)[one[2]] += 1
        wrong.update(other[2] for other in found if not any(overlaps(one, other) for one in sample.spans))
    f1 = {kind: 2 * right[kind] / (2 * right[kind] + wrong[kind] + missed[kind]) for kind in {*right, *missed}}
    assert len(f1) == 8
    assert min(f1.values()) >= 0.99, f1


@pytest.mark.parametrize("seed", [6, 106])
def test_hard_negatives_are_left_alone(seed: int) -> None:
    touched = [sample.text for sample in negatives(COUNT, seed) if find(sample.text)]
    assert len(touched) <= 0.005 * COUNT, touched

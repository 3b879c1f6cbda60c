"""Plain definitions of the scores: one loop for each sentence, slow and easy to check."""

from __future__ import annotations

import itertools

import numpy as np


def objects(labels):
    """Mask of each object by its id."""
    return {int(i): labels == i for i in np.unique(labels) if i > 0}


def iou_table(truth, prediction):
    """IoU of each pair of ids that touch."""
    table = {}
    for (t, t_mask), (p, p_mask) in itertools.product(
        objects(truth).items(), objects(prediction).items()
    ):
        common = int((t_mask & p_mask).sum())
        if common:
            table[t, p] = common / int((t_mask | p_mask).sum())
    return table


def best_matching(table, threshold, inclusive=False):
    """Largest number of pairs, then largest sum of IoU over all pairs, by trying everything."""
    pairs = list(table)
    best, best_key = [], (0, 0.0)

    def enough(pair):
        return table[pair] >= threshold if inclusive else table[pair] > threshold

    def extend(start, chosen, truths, predictions):
        nonlocal best, best_key
        key = (sum(map(enough, chosen)), sum(table[pair] for pair in chosen))
        if key > best_key:
            best, best_key = list(chosen), key
        for index in range(start, len(pairs)):
            t, p = pairs[index]
            if t not in truths and p not in predictions:
                extend(index + 1, [*chosen, (t, p)], truths | {t}, predictions | {p})

    extend(0, [], frozenset(), frozenset())
    return [pair for pair in best if enough(pair)]


def panoptic(truth, prediction, threshold=0.5):
    """tp, fp, fn, sum of IoU."""
    table = iou_table(truth, prediction)
    matched = best_matching(table, threshold)
    return (
        len(matched),
        len(objects(prediction)) - len(matched),
        len(objects(truth)) - len(matched),
        sum(table[pair] for pair in matched),
    )


def aji(truth, prediction):
    """Intersection and union of the aggregated Jaccard index, predictions used again."""
    true, predicted = objects(truth), objects(prediction)
    intersection = union = 0
    used = set()
    for t_mask in true.values():
        best, best_iou = None, 0.0
        for p, p_mask in predicted.items():
            common = int((t_mask & p_mask).sum())
            # The small term prefers the larger of two pairs of equal IoU, as HoVer-Net's does.
            iou = common / (int((t_mask | p_mask).sum()) + 1e-6)
            if common and iou > best_iou:
                best, best_iou = p, iou
        if best is None:
            union += int(t_mask.sum())
            continue
        used.add(best)
        intersection += int((t_mask & predicted[best]).sum())
        union += int((t_mask | predicted[best]).sum())
    for p, p_mask in predicted.items():
        if p not in used:
            union += int(p_mask.sum())
    return intersection, union


def aji_plus(truth, prediction):
    """Intersection and union of AJI+, one to one by the largest sum of IoU."""
    true, predicted = objects(truth), objects(prediction)
    table = iou_table(truth, prediction)
    best = max(_matchings(list(table)), key=lambda pairs: sum(table[pair] for pair in pairs))
    intersection = sum(int((true[t] & predicted[p]).sum()) for t, p in best)
    union = sum(int((true[t] | predicted[p]).sum()) for t, p in best)
    union += sum(int(true[t].sum()) for t in set(true) - {t for t, _ in best})
    union += sum(int(predicted[p].sum()) for p in set(predicted) - {p for _, p in best})
    return intersection, union


def _matchings(pairs):
    """All sets of pairs that use nothing twice."""
    if not pairs:
        yield []
        return
    (t, p), rest = pairs[0], pairs[1:]
    yield from _matchings(rest)
    for others in _matchings([(a, b) for a, b in rest if a != t and b != p]):
        yield [(t, p), *others]

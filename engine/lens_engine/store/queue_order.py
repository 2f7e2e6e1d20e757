"""In which order a reader goes through a queue: the best lesions first, and yet few volumes loaded again.

Asked series by series alone, a reader who stops after a third of the queue has settled a third of the series and not
the best third of the lesions. So a long queue is asked in passes: the best lesions of all series, then the next best.
"""

from collections.abc import Sequence
from itertools import pairwise

MOST_PASSES = 3
PASS_LESIONS = 20
"""For fewer lesions a volume is not loaded again."""


def order_of_asking(series_ids: Sequence[int], priorities: Sequence[float], is_open: Sequence[bool]) -> list[int]:
    """Return the rows of a queue in the order in which to ask.

    Within a pass a series stays together: the one with the best open lesion first, and its lesions by priority. Equals
    keep their order.

    Parameters
    ----------
    series_ids, priorities
        Of each lesion; greater priorities are asked earlier.
    is_open
        Whether nobody has decided yet.
    """
    ranked = sorted(range(len(priorities)), key=lambda row: -priorities[row])
    passes = min(max(len(ranked) // PASS_LESIONS, 1), MOST_PASSES)
    bounds = [round(len(ranked) * number / passes) for number in range(passes + 1)]
    order: list[int] = []
    for first, last in pairwise(bounds):
        groups: dict[int, list[int]] = {}
        for row in ranked[first:last]:
            groups.setdefault(series_ids[row], []).append(row)
        best_open = {
            series: max((priorities[row] for row in rows if is_open[row]), default=-1.0)
            for series, rows in groups.items()
        }
        for series in sorted(groups, key=lambda series: (-best_open[series], series)):
            order += groups[series]
    return order

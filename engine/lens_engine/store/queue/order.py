"""In which order a reader goes through a queue: the best lesions first, and yet few volumes loaded again.

Asked series by series alone, a reader who stops after a third of the queue has settled a third of the series and not
the best third of the lesions. So a long queue is asked in passes: the best lesions of all series, then the next best.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_PASSES = 3
PASS_LESIONS = 20
"""For fewer lesions a volume is not loaded again."""


def order_of_asking(series_ids: ArrayLike, priorities: ArrayLike, is_open: ArrayLike) -> NDArray[np.int64]:
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
    series, values = np.asarray(series_ids, dtype=np.int64), np.asarray(priorities, dtype=np.float64)
    ranked = np.argsort(-values, kind="stable")
    if not len(ranked):
        return ranked
    passes = min(max(len(ranked) // PASS_LESIONS, 1), MOST_PASSES)
    bounds = [round(len(ranked) * number / passes) for number in range(1, passes)]
    pass_of = np.searchsorted(bounds, np.arange(len(ranked)), side="right")
    _, group_of = np.unique(pass_of * (int(series.max()) + 1) + series[ranked], return_inverse=True)
    best_open = np.full(int(group_of.max()) + 1, -1.0)
    np.maximum.at(best_open, group_of, np.where(np.asarray(is_open, dtype=bool)[ranked], values[ranked], -1.0))
    return ranked[np.lexsort((series[ranked], -best_open[group_of], pass_of))]

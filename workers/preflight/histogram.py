"""Counts over bins whose edges people would choose: token lengths, turns, shares."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from api.rows.words import Histogram

TOKEN_EDGES = (0, *(2**power for power in range(4, 18)))
"""0, then powers of two from 16 to 131,072."""
TURN_EDGES = (1, 2, 3, 4, 5, 6, 9, 17, 33, 65, 129, 257, 513, 1025)
"""1, 2, 3, 4, 5, 6 to 8, 9 to 16, and so on."""
SHARE_EDGES = tuple(tenth / 10 for tenth in range(12))
"""Tenths; the last bin is for 1 alone, since "all of it" is a case of its own."""


class Counter:
    """A histogram of values that are not kept."""

    def __init__(self, edges: Sequence[float] = TOKEN_EDGES) -> None:
        self._edges = np.asarray(edges, dtype=np.float64)
        self._counts = np.zeros(len(edges) + 1, dtype=np.int64)  # with those below and above
        self._lowest, self._highest = np.inf, -np.inf

    def add(self, values: npt.ArrayLike | Iterable[float]) -> None:
        """Count many at once; a call costs some microseconds. What is not finite is left out."""
        array = np.asarray(values, dtype=np.float64).ravel()
        array = array[np.isfinite(array)]
        if not array.size:
            return
        bins = np.searchsorted(self._edges, array, side="right")
        self._counts += np.bincount(bins, minlength=len(self._counts))
        self._lowest = min(self._lowest, float(array.min()))
        self._highest = max(self._highest, float(array.max()))

    def histogram(self) -> Histogram:
        """The edges are those given; a value outside of them gets a bin more at that end."""
        edges, counts = self._edges.tolist(), self._counts.tolist()
        if counts[0]:
            edges.insert(0, self._lowest)
        else:
            del counts[0]
        if counts[-1]:
            edges.append(float(max(self._highest + 1, np.nextafter(self._highest, np.inf))))
        else:
            del counts[-1]
        return Histogram(edges=tuple(edges), counts=tuple(counts))


def histogram(
    values: npt.NDArray[np.generic] | Sequence[float], edges: Sequence[float] | None = None
) -> Histogram:
    """Count values over edges, TOKEN_EDGES unless told."""
    counter = Counter(TOKEN_EDGES if edges is None else edges)
    counter.add(values)
    return counter.histogram()

"""Histograms: every value in one bin, edges that people would choose."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from api.rows.words import Histogram
from workers.preflight.histogram import SHARE_EDGES, TOKEN_EDGES, TURN_EDGES, Counter, histogram


def bins(found: Histogram) -> dict[float, int]:
    return {edge: n for edge, n in zip(found.edges, found.counts, strict=False) if n}


def test_token_lengths_are_counted_by_powers_of_two() -> None:
    found = histogram(np.array([0, 15, 16, 31, 32, 1_000, 131_071]))
    assert found.edges == (0, *(2**n for n in range(4, 18)))
    assert bins(found) == {0: 2, 16: 2, 32: 1, 512: 1, 65_536: 1}


def test_turns_are_counted_one_by_one_up_to_five() -> None:
    found = histogram([1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17], TURN_EDGES)
    assert bins(found) == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 3, 9: 2, 17: 1}


def test_shares_are_counted_by_tenths_and_all_is_a_bin_of_its_own() -> None:
    found = histogram(np.array([0.0, 0.05, 0.3, 0.95, 1.0, 1.0]), SHARE_EDGES)
    assert bins(found) == {0.0: 2, 0.3: 1, 0.9: 1, 1.0: 2}


def test_values_outside_the_edges_get_a_bin_at_that_end() -> None:
    found = histogram([0, 1, 2_000_000], TURN_EDGES)
    assert (found.edges[0], found.edges[-2], found.edges[-1]) == (0, 1_025, 2_000_001)
    assert (found.counts[0], found.counts[1], found.counts[-1]) == (1, 1, 1)


def test_nothing_is_an_empty_histogram() -> None:
    assert histogram(np.array([])).counts == (0,) * (len(TOKEN_EDGES) - 1)
    assert sum(histogram([float("nan"), float("inf"), 1]).counts) == 1


@given(st.lists(st.integers(0, 10**9), max_size=50), st.integers(0, 50))
def test_a_counter_sees_what_a_histogram_sees(values: list[int], cut: int) -> None:
    counter = Counter(TOKEN_EDGES)
    counter.add(values[:cut])
    counter.add(values[cut:])
    assert counter.histogram() == histogram(values)
    assert sum(counter.histogram().counts) == len(values)

import threading

import pytest

from harness.chunked_threads import mapped


def test_results_come_in_order_chunk_by_chunk():
    assert list(mapped(lambda x: x * x, range(7), chunk=3)) == [[0, 1, 4], [9, 16, 25], [36]]
    assert list(mapped(str, [], chunk=3)) == []


def test_the_next_chunk_waits_until_it_is_asked_for():
    seen = []
    chunks = mapped(seen.append, range(9), chunk=4)
    next(chunks)
    assert sorted(seen) == [0, 1, 2, 3]
    next(chunks)
    assert sorted(seen) == list(range(8))
    chunks.close()


def test_an_error_comes_out_and_no_thread_stays():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(mapped(lambda x: 1 // x, [1, 0, 1], chunk=2))
    assert threading.active_count() == before

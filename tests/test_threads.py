"""The pool runs tasks at once, in order and without deadlock; BLAS is held to one thread and let go again."""

import os
import random
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from minnet import blas, threads
from minnet.blas import one_blas_thread
from minnet.errors import InvalidValue
from minnet.threads import n_threads, run, share

PATIENCE = 60  # seconds after which a test that should have ended has failed


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """At least one helper, whatever the machine."""
    monkeypatch.setenv("MINNET_NUM_THREADS", "2")


# --- how many ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("given_text, number", [("1", 1), ("2", 2), (" 16 ", 16), ("007", 7), ("1024", 1024)])
def test_the_variable_is_obeyed(monkeypatch, given_text, number):
    monkeypatch.setenv("MINNET_NUM_THREADS", given_text)
    assert n_threads() == number


@pytest.mark.parametrize("given_text", ["0", "-1", "abc", "1.5", "1e2", "1025", "9" * 5000, "٣", "2 2", "\x1b[31m",
                                        "+3"])
def test_a_bad_variable_is_refused(monkeypatch, given_text):
    monkeypatch.setenv("MINNET_NUM_THREADS", given_text)
    with pytest.raises(InvalidValue, match=r"MINNET_NUM_THREADS=.*wanted a whole number") as caught:
        n_threads()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("given_text", [None, "", "  "])
def test_without_the_variable_all_cpus_of_the_process_count(monkeypatch, given_text):
    monkeypatch.delenv("MINNET_NUM_THREADS")
    if given_text is not None:
        monkeypatch.setenv("MINNET_NUM_THREADS", given_text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8}, raising=False)
    assert n_threads() == 3


# --- run --------------------------------------------------------------------------------------------------------------

@given(st.lists(st.integers(), max_size=20))
def test_results_come_in_order(values):
    assert run([partial(int, value) for value in values]) == values


def test_tasks_may_come_from_a_generator():
    assert run(partial(pow, i, 2) for i in range(5)) == [0, 1, 4, 9, 16]


def test_two_tasks_run_at_once():
    """Each waits until the other has begun: one after the other they would wait for ever."""
    meeting = threading.Barrier(2)
    assert sorted(run([partial(meeting.wait, PATIENCE)] * 2)) == [0, 1]


def test_the_first_task_runs_in_the_calling_thread():
    assert run([threading.get_ident] * 2)[0] == threading.get_ident()


def test_one_task_and_one_thread_touch_no_pool(monkeypatch):
    monkeypatch.setattr(threads, "_POOL", None)
    assert run([]) == []
    assert run([threading.get_ident]) == [threading.get_ident()]


def test_threads_are_kept():
    run([partial(threading.Barrier(2).wait, PATIENCE)] * 2)
    before = threading.active_count()
    for _ in range(100):
        meeting = threading.Barrier(2)
        run([partial(meeting.wait, PATIENCE)] * 2)
    assert threading.active_count() == before


def test_no_more_threads_than_allowed(monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", "1")
    seen = run([threading.get_ident] * 50)
    assert set(seen) == {threading.get_ident()}


@given(st.sets(st.integers(0, 11), min_size=1), st.integers(2, 4))
def test_the_first_failing_task_in_order_is_the_error(failing, size):
    def task(i):
        if i in failing:
            raise KeyError(i)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNET_NUM_THREADS", str(size))
        with pytest.raises(KeyError) as caught:
            run([partial(task, i) for i in range(12)])
    assert caught.value.args == (min(failing),)


def test_an_error_waits_for_what_is_running():
    """The first task fails while the second is at work; `run` must not end before the second has."""
    begun, ended = threading.Event(), []

    def fails():
        assert begun.wait(PATIENCE)
        raise ValueError("first")

    def works():
        begun.set()
        ended.append(sum(range(300_000)))

    with pytest.raises(ValueError, match="first"):
        run([fails, works])
    assert ended


def test_an_interrupt_waits_for_the_helper_and_is_raised():
    begun, ended = threading.Event(), []

    def interrupted():
        assert begun.wait(PATIENCE)
        raise KeyboardInterrupt

    def works():
        begun.set()
        ended.append(sum(range(300_000)))

    later = []
    with pytest.raises(KeyboardInterrupt):
        run([interrupted, works, partial(later.append, 1), partial(later.append, 2)])
    assert ended and run([int, int]) == [0, 0]


def test_tasks_may_run_tasks():
    def nested(depth):
        return 1 if depth == 0 else sum(run([partial(nested, depth - 1)] * 3))

    assert nested(5) == 3**5


def test_many_callers_at_once():
    def caller(number, wrong):
        for i in range(200):
            expected = [number * 1000 + i + j for j in range(4)]
            if run([partial(int, value) for value in expected]) != expected:
                wrong.append(i)

    wrong = []
    callers = [threading.Thread(target=caller, args=(number, wrong)) for number in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in callers) and not wrong


def test_a_busy_pool_is_not_waited_for():
    """While the only helper is held, another caller does all its tasks itself."""
    held, release = threading.Barrier(3), threading.Event()

    def hold():
        held.wait(PATIENCE)
        assert release.wait(PATIENCE)

    caller = threading.Thread(target=run, args=([hold, hold],))  # one task is the caller's, one the helper's
    caller.start()
    held.wait(PATIENCE)
    try:
        for _ in range(3 * threads.LONGEST_QUEUE):
            assert set(run([threading.get_ident] * 3)) == {threading.get_ident()}
        assert threads._POOL.queue.qsize() <= threads.LONGEST_QUEUE
    finally:
        release.set()
        caller.join(PATIENCE)
    meeting = threading.Barrier(2)
    assert len(run([partial(meeting.wait, PATIENCE)] * 2)) == 2


def test_the_callers_context_holds_in_every_thread():
    """Overflow is an error or not as the caller's np.errstate says, whoever runs the task."""
    meeting = threading.Barrier(2)

    def overflow():
        meeting.wait(PATIENCE)
        return np.float32(3e38) * np.ones(3, np.float32) * 10

    with np.errstate(over="ignore"):
        assert np.isinf(run([overflow] * 2)).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        run([overflow] * 2)


def test_arrays_are_let_go_afterwards():
    import gc
    import weakref

    meeting, array = threading.Barrier(2), np.zeros(3)
    alive = weakref.ref(array)

    def task(values):
        meeting.wait(PATIENCE)
        raise ValueError("with a traceback")

    gc.disable()
    try:
        with pytest.raises(ValueError):
            run([partial(task, array), partial(task, array)])
        run([partial(meeting.wait, PATIENCE)] * 2)  # the helper has left the call before
        del array
        assert alive() is None
    finally:
        gc.enable()


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_who_shares_is_told_who_is_first():
    meeting, came = threading.Barrier(2), []

    def task(first):
        came.append((first, threading.get_ident()))
        meeting.wait(PATIENCE)
        return "the first's" if first else "a helper's"

    assert share(task, 2) == "the first's"
    assert len(set(came)) == 2 and (True, threading.get_ident()) in came


def test_nobody_waits_for_a_helper():
    held, release = threading.Event(), threading.Event()

    def task(first):
        if first:
            assert held.wait(PATIENCE)
        else:
            held.set()
            assert release.wait(PATIENCE)

    share(task, 2)
    assert not release.is_set()
    release.set()


def test_a_helper_that_fails_does_no_harm():
    failed = threading.Event()

    def task(first):
        if first:
            return failed.wait(PATIENCE)
        failed.set()
        raise ValueError("a helper's own trouble")

    assert all(share(task, 2) for _ in range(3))
    with pytest.raises(ZeroDivisionError):
        share(lambda first: 1 // 0 if first else None, 2)


def test_who_is_alone_asks_nobody(monkeypatch):
    monkeypatch.setattr(threads._POOL, "queue", None)
    assert share(lambda first: first, 1)


IN_A_PROCESS = """
import os, sys, threading
from functools import partial
from minnet.blas import one_blas_thread
from minnet.threads import run

def both():
    meeting = threading.Barrier(2)
    return sorted(run([partial(meeting.wait, 60)] * 2)) == [0, 1]

assert both()
"""


def in_a_process(script):
    done = subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", IN_A_PROCESS + script],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_pool_is_rebuilt_after_fork():
    in_a_process("""
pid = os.fork()
if pid == 0:
    os._exit(0 if both() else 3)
assert os.waitpid(pid, 0)[1] == 0 and both()
print("done")
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_blas_is_let_go_in_a_child_whose_parent_held_it_elsewhere():
    in_a_process("""
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
threadpool_limits(2)
numbers = lambda: {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}
inside, leave = threading.Event(), threading.Event()
def hold():
    with one_blas_thread():
        inside.set()
        leave.wait(60)
holder = threading.Thread(target=hold)
holder.start()
inside.wait(60)
before = numbers()
pid = os.fork()
if pid == 0:
    with one_blas_thread():
        held = numbers()
    os._exit(0 if held == {1} and numbers() == {2} else 3)
child = os.waitpid(pid, 0)[1]
leave.set()
holder.join()
assert before == {1} and child == 0 and numbers() == {2}
print("done")
""")


def test_an_idle_pool_does_not_hold_up_the_end():
    in_a_process('print("done")')


# --- BLAS -------------------------------------------------------------------------------------------------------------

def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.fixture
def blas_of_two():
    """BLAS set to two threads for a test, and back afterwards."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        yield


def test_blas_is_held_to_one_thread_and_put_back(blas_of_two):
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_blas_is_put_back_after_an_error(blas_of_two):
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_threads() == {2}


@given(st.randoms(use_true_random=False), st.integers(2, 6))
def test_whoever_leaves_last_puts_blas_back(order, number):
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        holders = [ExitStack() for _ in range(number)]
        for holder in holders:
            holder.enter_context(one_blas_thread())
        order.shuffle(holders)
        for holder in holders:
            assert blas_threads() == {1}
            holder.close()
        assert blas_threads() == {2}


def test_threads_that_come_and_go_leave_blas_as_it_was(blas_of_two):
    wrong = []

    def visitor(seed):
        dice = random.Random(seed)
        for _ in range(100):
            with ExitStack() as stack:
                for _ in range(dice.randint(1, 3)):
                    stack.enter_context(one_blas_thread())
                if any(library.get_num_threads() != 1 for library in blas._BLAS.shared):
                    wrong.append(seed)

    visitors = [threading.Thread(target=visitor, args=(seed,)) for seed in range(4)]
    for thread in visitors:
        thread.start()
    for thread in visitors:
        thread.join(PATIENCE)
    assert not wrong and blas_threads() == {2}


class PrivateBlas:
    """A BLAS as Intel's, whose number of threads is the calling thread's own."""

    internal_api = "mkl"

    def __init__(self):
        self.numbers = {}

    def get_num_threads(self):
        return self.numbers.get(threading.get_ident(), 2)

    def set_num_threads(self, number):
        self.numbers[threading.get_ident()] = number


def test_a_blas_with_a_number_for_each_thread_is_held_in_each(monkeypatch):
    library = PrivateBlas()
    with one_blas_thread():
        pass
    monkeypatch.setattr(blas._BLAS, "private", [library])
    meeting = threading.Barrier(2)

    def number():
        meeting.wait(PATIENCE)
        return library.get_num_threads()

    def visit(seen):
        with one_blas_thread():
            seen.append(library.get_num_threads())
        seen.append(library.get_num_threads())

    with one_blas_thread():
        seen = []
        other = threading.Thread(target=visit, args=(seen,))
        other.start()
        other.join(PATIENCE)
        assert seen == [1, 2]
        with one_blas_thread():
            assert run([number] * 2) == [1, 1]
        assert library.get_num_threads() == 1
    assert library.get_num_threads() == 2


def test_a_blas_that_another_thread_set_is_held_too(blas_of_two):
    """threadpoolctl 3.8 ignores whoever is not the first thread to have set OpenBLAS's number."""
    seen = []

    def enter():
        with one_blas_thread():
            seen.append(blas_threads())

    other = threading.Thread(target=enter)
    other.start()
    other.join(PATIENCE)
    assert seen == [{1}] and blas_threads() == {2}


def test_a_blas_that_is_loaded_later_is_held_too():
    in_a_process("""
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
with one_blas_thread():
    pass
import scipy.linalg
threadpool_limits(2)
numbers = lambda: [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
with one_blas_thread():
    assert set(numbers()) == {1}
assert set(numbers()) == {2}
print("done")
""")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_products_in_tasks_have_the_bits_of_one_thread(n, m, k):
    rng = np.random.default_rng([n, m, k])
    a, b = rng.normal(size=(n, m)), rng.normal(size=(m, k))
    with one_blas_thread():
        expected = a @ b
        for found in run([partial(np.dot, a, b)] * 2):
            assert found.tobytes() == expected.tobytes()

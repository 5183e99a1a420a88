"""What every test file shares: Hypothesis profiles, the seeds, and the folder of large data sets.

    pytest                                # the developer's profile: new examples each time
    CI=true pytest                        # the same examples each time
    MINNET_TEST_EXAMPLES=1000 pytest      # so many examples of each law that says no number (default: 50)
    MINNET_TEST_SEED=7 pytest             # another seed where a test takes `rng_seed`; "all" runs 0..99
    MINNET_TEST_ROWS=relative pytest      # see each.py
    MINNET_DATA=path/to/data pytest       # also the tests on MNIST, Fashion-MNIST and VGG16
"""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ALL_SEEDS = 100
SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]  # a first call compiles

LONG = ("test_vgg16.py", "test_typing.py")  # tests of many seconds, in files that come late in the alphabet

EXAMPLES = int(os.environ.get("MINNET_TEST_EXAMPLES", "50"))

settings.register_profile("dev", max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:  # as in `nohup pytest &`: tests that send it would wait in vain
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """What is made while tests are collected is there to stay: the search for garbage leaves it alone."""
    gc.disable()
    report = yield
    gc.freeze()
    gc.enable()
    return report


def pytest_collection_modifyitems(items):
    """Begin with the kernels against their twins: in float32 in one process of xdist, in float64 in another.

    That compiles nearly every kernel, and none in two processes at once; whatever follows finds them in the cache.
    xdist gives each process `begin` tests at first, in their order. Long files follow, so that none is among the last.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    begin = max(len(items) // workers // 4, 2)
    twins, others = [], []
    for item in items:
        (twins if item.originalname == "test_kernel_equals_its_twin" else others).append(item)
    single = [item for item in twins if "float32" in item.name]
    double = [item for item in twins if item not in single]
    if workers > 1 and len(single) <= begin:
        others.sort(key=lambda item: item.path.name not in LONG)  # stable
        behind = begin - len(single)
        items[:] = single + others[:behind] + double + others[behind:]


def pytest_collection_finish():
    gc.set_threshold(10_000, 10, 10)  # compiling makes objects in plenty, and a tenth of its time went into the search


def pytest_generate_tests(metafunc):
    if "rng_seed" in metafunc.fixturenames:
        wanted = os.environ.get("MINNET_TEST_SEED", "0")
        metafunc.parametrize("rng_seed", range(ALL_SEEDS) if wanted == "all" else [int(wanted)])


@pytest.fixture
def few_rounds(monkeypatch):
    """What measures times takes a few rounds: figures that nobody reads."""
    from minnet.study import measure

    for name, few in (("SECONDS", 0.0), ("RESTED_ROUNDS", 1), ("TURN", 0.0)):
        monkeypatch.setattr(measure, name, few)


@pytest.fixture(scope="session")
def data_folder():
    """The folder that MINNET_DATA names; tests that need it are skipped elsewhere."""
    folder = os.environ.get("MINNET_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MINNET_DATA names no folder with the large data sets")
    return Path(folder)

"""The work of a sweep: dense nets, and cells that begin from them, in this process, in others or on other machines.

    for number, result in run_all(tasks, jobs=2):       # in the order in which they end
        ...

Each task computes with as many threads as it is told, so that its result does not depend on where it runs.
"""
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minnet.data import Dataset
from minnet.engine.metrics import scores
from minnet.errors import Diverged, MinnetError, import_optional, quoted
from minnet.formats.storage import file_bytes
from minnet.model import Model
from minnet.pruning.one_layer import deciding_part
from minnet.study.job import Base, Job
from minnet.study.measure import taken_by
from minnet.study.result import plain
from minnet.study.settings import Settings
from minnet.threads import VARIABLE

AHEAD = 2  # tasks for each worker that are sent before it asks


class Dense(NamedTuple):
    """The dense nets of a seed, and the figures of the one that was trained longer; where it diverged, the error."""

    base: Base | None
    figures: dict


def train_dense(settings: Sequence[Settings], threads: int) -> Dense:
    """Train the dense nets that jobs share; the jobs of all `settings` are made, to find errors before training."""
    with these_threads(threads):
        job, *_ = [Job(each) for each in settings]
        try:
            for _ in job.train_dense():
                pass
            trained, job.dense = job.model.values.copy(), job.model.clone()
            for _ in job.train_longer():
                pass
        except Diverged as error:
            return Dense(None, {"error": str(error)})
        return Dense(Base(trained, job.dense.values), figures_of(job.whole(job.dense), job.images))


def run_cell(settings: Settings, dense: Dense, threads: int) -> dict[str, object]:
    """Prune, and return the figures of the net after the last epoch; where a training diverged, the error."""
    start = time.perf_counter()
    if dense.base is None:
        return {"error": f"the dense net diverged: {dense.figures['error']}", "seconds": 0.0}
    with these_threads(threads):
        job = Job(settings)
        job.begin_from(dense.base)
        try:
            for _ in job.run():
                pass
            small = job.finished()
            found = figures_of(small, job.images) | {
                "file_bytes": len(file_bytes(small, made=job.made, precision=settings.precision)),
                "removed": job.reached, "weights": job.model.n_weights,
                "kept_weights": int(np.count_nonzero(job.model.mask[: job.model.n_weights]))}
        except Diverged as error:
            found = {"error": str(error)}
    return plain(found) | {"seconds": time.perf_counter() - start}


def figures_of(net: Model, data: Dataset) -> dict[str, object]:
    """Return the scores of a net on the part that decides and on the test part, its nonzero parameters and macs."""
    parts = {"valid": deciding_part(data), "test": "test"}
    found = {name: dict(scores(net, taken_by(net, getattr(data, f"X_{part}"), data), getattr(data, f"y_{part}")))
             for name, part in parts.items()}
    return plain(found | {"decides": parts["valid"], "parameters": net.n_parameters, "macs": net.macs})


@contextmanager
def these_threads(number: int) -> Iterator[None]:
    """Compute with this number of threads inside the block."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(number)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


class Pool:
    """Where tasks run: here (one job), in processes of this machine, or at a scheduler of Dask.

    Parameters
    ----------
    jobs : int
        How many processes.
    threads : int
        Threads of each.
    scheduler : str, optional
        Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers have minnet.
    """

    def __init__(self, jobs: int, threads: int, scheduler: str | None = None) -> None:
        self.jobs, self.threads, self.scheduler = jobs, threads, scheduler
        self.client = None
        self.lost: tuple[type[Exception], ...] = ()  # errors that say that a worker was lost too often

    def __enter__(self) -> "Pool":
        """Connect to the scheduler, if there is one."""
        if self.scheduler is not None:
            distributed = import_optional("distributed", "dask", "a sweep on a scheduler")
            self.lost = (distributed.KilledWorker,)
            try:
                self.client = distributed.Client(self.scheduler)
            except (OSError, ValueError) as error:
                raise MinnetError(f"scheduler={quoted(self.scheduler)}: {quoted(str(error))}: start one (`dask "
                                  "scheduler`) and workers (`dask worker ADDRESS`), or leave it out") from error
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the scheduler."""
        if self.client is not None:
            self.client.close()

    def run(self, function: Callable, tasks: Sequence[tuple]) -> Iterator[tuple[int, object]]:
        """Call `function` with the arguments of each task; yield (number, result) as they end."""
        if self.scheduler is None and min(self.jobs, len(tasks)) < 2:
            yield from ((number, function(*task)) for number, task in enumerate(tasks))
            return
        from joblib import Parallel, delayed, parallel_config
        from joblib.externals.loky.process_executor import BrokenProcessPool

        where: Mapping = {"backend": "dask"} if self.client is not None else {
            "backend": "loky", "n_jobs": min(self.jobs, len(tasks)), "inner_max_num_threads": self.threads}
        with parallel_config(**where):
            pool = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=f"{AHEAD}*n_jobs")
            found = pool(delayed(_numbered)(number, self.threads, function, *task) for number, task in enumerate(tasks))
        try:
            yield from found
        except (BrokenProcessPool, *self.lost) as error:
            raise MinnetError("a process of the sweep was ended, as where memory is short: take fewer jobs; the "
                              "same call goes on from the cells that are kept in the folder") from error
        finally:
            found.close()


def _numbered(number, threads, function, *arguments):
    """Return the number of a task and its result; tasks that are threads of one worker set the same variable."""
    os.environ[VARIABLE] = str(threads)
    return number, function(*arguments)

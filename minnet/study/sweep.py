"""Many jobs on a grid or at random, each dense net trained once, in processes that may be killed.

    found = sweep({"criterion": ["magnitude", "random"], "sparsity": [0.9, 0.95], "recipe": "one_shot"}, "out")
    print(found)                    # the table, and paired tests
    found.rows, found.summary, found.tests

The same call goes on where it was.
"""
from collections.abc import Callable, Mapping, Sequence

from minnet.errors import check_count
from minnet.study.cell_files import CellFolder, cell_folder
from minnet.study.cells import Cell, cells_of
from minnet.study.comparison import Sweep, comparison_of
from minnet.study.workers import Dense, Pool, run_cell, train_dense
from minnet.threads import n_threads
from minnet.typing import Path, Seed

Bar = Callable[[str, int, int], object]  # bar(description, done, total)


def sweep(grid: Mapping[str, object], folder: Path | None = None, *, draws: int | None = None, jobs: int | None = None,
          threads: int = 1, scheduler: str | None = None, controls: bool = False, rng: Seed = 0,
          progress: Bar | None = None) -> Sweep:
    """Run the main job for each combination of settings, and compare them.

    What is compared has the same dense net for each seed, which is trained once. Scores are those after the last
    epoch, never the best one; the validation part is for choices, and the test part is scored once, at the end [1]_.

    Parameters
    ----------
    grid : mapping of str to object
        Settings by name, as those of `minnet prune`. A list (or range or array) has the values to combine, a
        distribution with a method `rvs`, as those of `scipy.stats`, is drawn from (with `draws`), and anything else is
        the same in all cells. Default: sparsities 0.5, 0.8, 0.9, 0.95 and 0.98, and seeds 0 to 4.
    folder : Path, optional
        Where each finished cell is kept, so that the same call goes on after it was stopped, and a larger grid runs
        what is new. Default: nothing is kept.
    draws : int, optional
        Combinations to draw at random, each with all seeds, instead of all.
    jobs : int, optional
        Processes. Default: as many as there are threads. The result does not depend on it.
    threads : int
        Threads of each process; with another number the last bits of a result may differ.
    scheduler : str, optional
        Address of a Dask scheduler whose workers run the cells (the extra "dask").
    controls : bool
        Add the controls of [2]_ for each recipe that has them: the weights that score highest removed, the mask
        shuffled in each layer or drawn at random, the weights initialised again.
    rng : int or Generator, optional
        Source of the draws.
    progress : callable, optional
        Called as progress(description, done, total) at the start and after each cell.

    Returns
    -------
    Sweep
        The cells, the table and the tests.

    Raises
    ------
    InvalidValue, InvalidType, UnknownName
        A setting or a value is none; the same cell is there twice.
    FileError
        The folder has cells of another sweep, or one is running in it.
    MissingExtra
        A scheduler is given, and Dask is not installed.

    References
    ----------
    .. [1] Blalock et al., 2020, "What is the state of neural network pruning?"
    .. [2] Frankle et al., 2021, "Pruning neural networks at initialization: why are we missing the mark?"
    """
    threads = check_count("threads", threads, 1)
    jobs = n_threads() if jobs is None else check_count("jobs", jobs, 1)
    cells = cells_of(grid, draws=draws, threads=threads, controls=controls, rng=rng)
    with cell_folder(folder, cells) as files:
        bases = _run(cells, files, Pool(jobs, threads, scheduler), progress or _silent)
    return comparison_of(cells, files.found, bases)


def _run(cells: Sequence[Cell], files: CellFolder, pool: Pool, progress: Bar) -> dict[str, Dense]:
    """Train the dense nets that are missing, then run the cells that are; return the dense nets."""
    first = {cell.base: cell for cell in reversed(cells)}
    kept = {key: files.base(cell) for key, cell in first.items()}
    bases = {key: dense for key, dense in kept.items() if dense is not None}
    left = [cell for cell in cells if cell.id not in files.found]
    wanted = [cell for cell in reversed(first.values()) if cell.base not in bases]
    total = len(cells) + len(first)
    done = total - len(left) - len(wanted)
    progress("starting", done, total)
    if not left and not wanted:
        return bases
    with pool:
        tasks = [(_settings_to_check(cells, cell, number), pool.threads) for number, cell in enumerate(wanted)]
        for number, dense in pool.run(train_dense, tasks):
            files.keep_base(wanted[number], dense)
            bases[wanted[number].base] = dense
            done += 1
            progress(f"dense, seed {wanted[number].settings.seed}", done, total)
        tasks = [(cell.settings, bases[cell.base], pool.threads) for cell in left]
        for number, result in pool.run(run_cell, tasks):
            files.keep(left[number], result)
            files.found[left[number].id] = result
            done += 1
            progress(left[number].name, done, total)
    return bases


def _settings_to_check(cells, cell, number):
    """Return the settings whose jobs are made before a dense net is trained: for the first net those of all its cells.

    Those of the cell itself come first.
    """
    others = [other.settings for other in cells if other.base == cell.base and other is not cell]
    return [cell.settings, *(others if number == 0 else [])]


def _silent(description, done, total):
    """Show nothing."""

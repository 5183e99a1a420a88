"""Train a model, score it on the test part, and save it.

  minnet train digits                                   writes DIR/model.safetensors
  minnet train mnist --model lenet_5 --epochs 20 --out lenet

The saved model can be pruned: minnet prune DIR/model.safetensors --data DATA.
"""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from minnet.cli.console import Console
from minnet.cli.options import (
    DATA_HELP,
    column_options,
    data_options,
    out_option,
    output_folder,
    part_options,
    resume_options,
    settings_from,
    store_stages,
    training_options,
)
from minnet.cli.parser import Parser
from minnet.cli.signals import SIGNALS
from minnet.cli.tables import facts_text, single

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    from minnet.study.training import Training


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", nargs="?", metavar="DATA", default="digits",
                        help=f"data set: {DATA_HELP} (default: digits)")
    training_options(parser)
    data_options(parser)
    column_options(parser)
    part_options(parser)
    out_option(parser)
    resume_options(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.engine.optimizers import OPTIMIZERS
    from minnet.models import MODELS
    from minnet.pruning.penalties import PENALTIES

    return {"models": MODELS, "optimizers": OPTIMIZERS, "penalties": PENALTIES}


def train_with_progress(job: Training, console: Console) -> None:
    """Train the model of `job` with a progress bar."""
    with console.progress() as bar:
        for progress in job.run():
            SIGNALS.check()
            bar(f"loss {progress.loss:.3f}", progress.epoch, job.epochs)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    out = output_folder(args)
    from minnet.cli.compiling import announce_compilation
    from minnet.cli.imbalance import hint_imbalance
    from minnet.cli.target import say_columns, say_target
    from minnet.cli.writing import save_on_failure, write_and_describe
    from minnet.formats.storage import file_bytes
    from minnet.study.folder import MODEL
    from minnet.study.result import plain
    from minnet.study.training import Training

    settings = settings_from(args, data=args.what)
    announce_compilation(console)
    job = Training(settings)
    say_target(settings.data, job.data.signature.target, settings.target, job.data.gives, console)
    say_columns(job.data, console)
    hint_imbalance(job, console)
    store_stages(args, job, out, console)
    with save_on_failure(job, out):
        train_with_progress(job, console)
        message = write_and_describe({MODEL: file_bytes(job.whole(job.model), made=job.made)}, out)
        job.stages.clear()
    facts = {"data": job.data.name, "model": job.settings.record()["model"], "seed": args.seed, "part": "test",
             "samples": len(job.data.y_test), "parameters": job.model.n_parameters, "sparsity": job.model.sparsity}
    result = plain(facts | job.scores())
    console.result(facts_text(single(result)), result)
    console.info(message)

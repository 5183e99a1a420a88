"""Train a model, score it on the test part, and save it.

  minnet train digits                                   writes DIR/model.safetensors
  minnet train mnist --model lenet_5 --epochs 20 --out lenet

What it saves can be pruned: minnet prune DIR/model.safetensors --data DATA.
"""
from minnet.cli.options import DATA_HELP, checked_out, data_options, out_option, settings_from, training_options
from minnet.cli.signals import LISTENER
from minnet.cli.tables import facts_text


def options(parser):
    """What it takes."""
    parser.add_argument("what", nargs="?", metavar="DATA", default="digits", help=f"{DATA_HELP} (digits)")
    training_options(parser)
    data_options(parser)
    out_option(parser)


def tables():
    """The names that may be given."""
    from minnet.engine.optimizers import OPTIMIZERS
    from minnet.models import MODELS
    from minnet.pruning.penalties import PENALTIES

    return {"models": MODELS, "optimizers": OPTIMIZERS, "penalties": PENALTIES}


def follow(job, talk):
    """Train, and show how far it is."""
    with talk.progress() as bar:
        for news in job.run():
            LISTENER.check()
            bar(f"loss {news.loss:.3f}", news.epoch, job.epochs)


def run(args, talk):
    """Do it; returns the exit code."""
    out = checked_out(args)
    from minnet.cli.compiling import tell_compiling
    from minnet.cli.writing import keeping, write_told
    from minnet.study.folder import MODEL
    from minnet.study.measure import saved
    from minnet.study.result import plain
    from minnet.study.training import Training

    settings = settings_from(args, data=args.what)
    tell_compiling(talk)
    job = Training(settings)
    with keeping(job, out):
        follow(job, talk)
    wrote = write_told({MODEL: saved(job.whole(job.model), job.made)}, out)
    facts = {"data": job.data.name, "model": job.settings.record()["model"], "seed": args.seed, "part": "test",
             "samples": len(job.data.y_test), "parameters": job.model.n_parameters, "sparsity": job.model.sparsity}
    result = plain(facts | job.scores())
    talk.result(facts_text(result, talk), result)
    talk.say(wrote)

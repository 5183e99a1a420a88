"""Checkpoints: every recipe that is stopped goes on from its file, and ends with the bits of an undisturbed run."""
import signal
from functools import partial
from pathlib import Path

import born
import pytest
from tables import make, sample_for

from minnet.cli import main
from minnet.cli.signals import SIGNALS, Stopped
from minnet.engine.averaging import ema, swa
from minnet.engine.optimizers import SGD
from minnet.errors import FileError, InvalidType, InvalidValue
from minnet.files import TEMPORARY
from minnet.formats.checkpoint import Checkpoint, remember
from minnet.formats.storage import file_bytes, save
from minnet.pruning.recipes import RECIPES
from minnet.pruning.result import Record
from minnet.study.job import Job
from minnet.study.settings import Settings
from minnet.study.training import Training
from minnet.training import train

EPOCHS, BATCH = 3, 4  # of 7 rows: two batches an epoch
STOPS = (2, 3, 6)  # steps that are seen before the stop: stored are 1, 2, 5: in an epoch, between two, after a cut
MEANS = {"swa": partial(swa, begin=0.3), "ema": partial(ema, decay=0.7),
         "both": lambda steps: ema(swa(steps), decay=0.9)}
OPTIONS = {"iterative": {"rounds": 2, "rewind": "weights"}, "lottery_ticket": {"rounds": 2, "rewind": 1},
           "rigl": {"interval": 1}, "granet": {"interval": 1}, "mest": {"surplus": 0.2}, "top_kast": {"interval": 2},
           "synflow": {"rounds": 3}, "force": {"rounds": 3}, "growing_l2": {"begin": 0.2},
           "lc": {"rounds": 3}, "admm": {"rounds": 3}}


def steps(name, model, train, **more):
    """Return the steps of a recipe, one after every batch."""
    sample, structure = sample_for(model), {"structure": "channel"} if name == "slimming" else {}
    bound = partial(train, optimizer=SGD(0.05, momentum=0.9), batch_size=BATCH, every="batch")
    return RECIPES[name](model, (sample.X, sample.y), 0.5, epochs=EPOCHS, rng=0, train=bound, **structure,
                         **OPTIONS.get(name, {}), **more)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """Write without waiting for the disk: hundreds of files are written here."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def bits(model):
    """Return all bits of a model."""
    return model.values.tobytes() + model.mask.tobytes()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_goes_on_where_it_was_stopped(name, tmp_path):
    net, path = "normed" if name == "slimming" else "dense", tmp_path / "run.safetensors"
    whole = make(net)
    losses = [step.loss for step in steps(name, whole, train)]
    for stop in STOPS:
        first = steps(name, make(net), Checkpoint(path, save_every=1e-9))
        for _ in range(stop):
            next(first)
        first.close()
        again, checkpoint = make(net), Checkpoint(path, save_every=1e-9)
        rest = [step.loss for step in steps(name, again, checkpoint)]
        assert checkpoint.resumes and len(rest) == len(losses) - stop + 1
        assert rest == losses[stop - 1 :] and bits(again) == bits(whole), f"stopped after {stop} steps"
        path.unlink()


def begun(name, path=None, mean=iter, net="dense"):
    """A net, a record, and the steps of a recipe that fills it, with a mean around; stored where there is a path."""
    model, record = born.net() if net == "sparse" else make(net), Record()
    trained = train if path is None else Checkpoint(path, save_every=1e-9)
    return model, record, mean(steps(name, model, trained, record=record))


def told(record, model):
    """All that a record says of some weights, and what each round is made of."""
    whys = [str(record.explain(p.name, place)) for p in model.weight_parameters for place in (0, 3)]
    return whys, [(bits(result.plan), result.units, str(result)) for result in record]


@pytest.mark.parametrize(("name", "mean", "stop", "net"), [
    ("gradual", "ema", 1, "dense"), ("gradual", "both", 6, "dense"), ("iterative", "swa", 4, "dense"),
    ("lottery_ticket", "ema", 3, "dense"), ("admm", "both", 6, "dense"), ("mest", "ema", 5, "dense"),
    ("slimming", "swa", 5, "normed"), ("set", "ema", 5, "sparse"), ("set", "both", 6, "sparse"),
])
def test_means_and_records_go_on_too(name, mean, stop, net, tmp_path):
    path, mean = tmp_path / "run.safetensors", MEANS[mean]
    whole, record, run = begun(name, mean=mean, net=net)
    assert len(list(run)) == 6
    *_, run = begun(name, path, mean, net)
    for _ in range(stop):
        next(run)
    run.close()
    again, filled, run = begun(name, path, mean, net)
    assert len(list(run)) >= 7 - stop and bits(again) == bits(whole)
    assert net == "sparse" or told(filled, again) == told(record, whole)


def test_a_mean_that_was_not_stored_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    *_, run = begun("gradual", path)
    for _ in range(3):
        next(run)
    run.close()
    *_, run = begun("gradual", path, MEANS["ema"])
    with pytest.raises(InvalidValue, match="stored without a mean of its nets.*delete the file"):
        next(run)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path, model = tmp_path / "run.safetensors", make("dense")
    next(steps("one_shot", model, Checkpoint(path, about={"seed": 1})))
    with pytest.raises(FileError, match="of another run: seed was 1, and is 2"):
        Checkpoint(path, about={"seed": 2})
    with pytest.raises(InvalidValue, match="another model"):
        next(steps("one_shot", make("conv"), Checkpoint(path, about={"seed": 1})))
    save(model, path)
    with pytest.raises(FileError, match="holds no checkpoint"):
        Checkpoint(path)


def test_what_cannot_be_stored_is_named(tmp_path):
    checkpoint, model = Checkpoint(tmp_path / "run.safetensors"), make("dense")
    remember(partial(checkpoint), {"done": {1, 2}})
    with pytest.raises(InvalidType, match="memory.0.0 of this recipe is {1, 2}, which cannot be stored"):
        next(steps("one_shot", model, checkpoint))


def test_a_recipe_that_does_not_remember_is_not_stored(tmp_path):
    checkpoint, model = Checkpoint(tmp_path / "run.safetensors"), make("dense")
    sample = sample_for(model)
    assert len(list(checkpoint(model, (sample.X, sample.y), epochs=2))) == 2 and not list(tmp_path.iterdir())


GUARDED = {"guard": {"accuracy": 0.02}, "sparsity": "max", "recipe": "set"}
SAFE = {"safe": True, "epochs": 1, "layers": ("dense1",)}


@pytest.mark.parametrize("options", [{}, GUARDED, SAFE], ids=["plain", "guarded", "safe"])
def test_a_job_goes_on_where_it_was_stopped(options, tmp_path, few_rounds):
    def job(folder):
        made = Job(Settings(**{"data": "digits", "model": "mlp", "epochs": 2, "seed": 1} | options))
        made.store(folder, save_every=1e-9)
        return made
    whole = job(tmp_path / "whole")
    n = len(list(whole.run()))
    first = job(tmp_path / "stopped").run()
    for _ in range(n - 1):
        next(first)
    first.close()
    again = job(tmp_path / "stopped")
    assert again.stages.resumes and len(list(again.run())) == n
    assert bits(again.model) == bits(whole.model) and bits(again.dense) == bits(whole.dense)
    assert again.history == whole.history
    (tmp_path / "stopped" / TEMPORARY.format("killed")).touch()  # as a kill within a write leaves it
    again.stages.clear()
    assert not (tmp_path / "stopped").exists()


@pytest.mark.parametrize("options", [{}, {"freeze": "dense1"}], ids=["whole", "part"])
def test_a_training_whose_stages_were_all_finished_writes_the_same_file(options, tmp_path):
    """A kill between the last epoch and the file: what training gives a model, its signature too, is there again."""
    def written(folder):
        training = Training(Settings(data="digits", model="mlp", epochs=1, seed=1, **options))
        training.store(folder)
        list(training.run())
        return file_bytes(training.whole(training.model), made=training.made)
    assert written(tmp_path / "stopped") == written(tmp_path / "stopped") == written(tmp_path / "whole")


def test_resume_at_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["prune", "digits", "--model", "mlp", "--epochs", "2", "--recipe", "rigl:interval=5"]
    assert main([*command, "--out", "whole"]) == 0
    checks = iter([None] * 3)

    def check():
        if next(checks, 1):
            raise Stopped(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(SIGNALS, "check", check)
        assert main([*command, "--out", "stopped"]) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    assert main([*command, "--out", "stopped", "--resume", "--sparsity", "0.5"]) == 2
    assert "is of another run: sparsity was None, and is 0.5" in capsys.readouterr().err
    assert main([*command, "--out", "stopped", "--resume"]) == 0 and "going on" in capsys.readouterr().err
    assert {path.name for path in Path("stopped").iterdir()} == {path.name for path in Path("whole").iterdir()}
    assert Path("stopped/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()

"""Adversarial training: each epoch learns samples that were attacked with the model as it is by then.

    for step in adversarial_training(model, data, epsilon=0.1, optimizer=mn.SGD(lr=0.1), epochs=20, rng=0):
        if step.epoch == 10:
            mn.prune(model, 0.9, criterion="adversarial_taylor", data=data)

The loop of `train` is the inner one, so masks hold, and what it yields is its Step.
"""
from collections.abc import Iterator

from minnet.engine.attacks import ATTACKS, attacked
from minnet.engine.optimizers import Optimizer
from minnet.engine.rng import as_rng
from minnet.engine.sample import part_of, signature_for
from minnet.engine.state import Step
from minnet.errors import check_choice, check_count, check_real
from minnet.model import Model
from minnet.training import train
from minnet.typing import Schedule, Seed


def adversarial_training(model: Model, data, *, epsilon: float = 0.1, attack: str = "fgsm",
                         optimizer: Optimizer | str | None = None, epochs: int = 10, batch_size: int = 64,
                         lr_schedule: str | Schedule = "constant", penalty=None, clip_norm: float | None = None,
                         rng: Seed = None) -> Iterator[Step]:
    """Train a classifier on attacked samples; those of an epoch are made at its beginning, of the model as it is then.

    Parameters
    ----------
    model : Model
        What is trained, whose inputs lie in [0, 1].
    data : Dataset or (X, y)
        As for `train`.
    epsilon : float
        How far samples may be moved, in the norm of the attack.
    attack : str
        A name in ATTACKS: "fgsm" costs a pass forward and back over the data each epoch, "pgd" ten more.
    optimizer, epochs, batch_size, lr_schedule, penalty, clip_norm, rng
        As for `train`.

    Yields
    ------
    Step
        Where the run is, once an epoch.

    Raises
    ------
    InvalidValue
        Inputs do not lie in [0, 1], and what `train` raises.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu (2018), "Towards deep learning models resistant to adversarial attacks",
    where each batch is attacked with the model as it is at that batch.
    """
    check_choice("attack", attack, ATTACKS)
    epsilon, epochs, rng = check_real("epsilon", epsilon, 0), check_count("epochs", epochs, 0), as_rng(rng)
    X, y = part_of(model, data)
    model.signature = signature_for(model, data)
    net, state = model.without_signature(), None
    for _ in range(epochs):
        moved = attacked(attack, net, X[:], y, epsilon=epsilon, rng=rng)
        step = next(train(net, (moved, y), optimizer=optimizer, epochs=epochs, batch_size=batch_size,
                          lr_schedule=lr_schedule, penalty=penalty, clip_norm=clip_norm, rng=rng, state=state))
        state = step.state
        yield step

"""The laws that every criterion, penalty, layer and recipe of minnet is held to, and strategies for Hypothesis.

    mn.testing.check_criterion(relative)        # raises LawBroken, which names the law and shows a small example

    @given(mn.testing.nets(), st.data())
    def test_own(net, data):
        net.set_mask(data.draw(mn.testing.masks(net)))

minnet's own tests call these. The strategies need Hypothesis (the extra "test"), which is imported at their first use;
the laws need nothing but minnet.
"""
import importlib
from collections.abc import Callable

from minnet.errors import import_optional
from minnet.testing.broken import LawBroken as LawBroken
from minnet.testing.criterion_laws import check_criterion
from minnet.testing.layer_laws import check_layer
from minnet.testing.penalty_laws import check_penalty
from minnet.testing.recipe_laws import check_recipe

STRATEGIES = ("nets", "masks", "scores", "datasets")
CHECKS: dict[str, Callable[..., object]] = {
    f.__name__: f for f in (check_criterion, check_penalty, check_layer, check_recipe)}
__all__ = [*CHECKS, "LawBroken", *STRATEGIES]


def __getattr__(name: str) -> Callable[..., object]:
    if name in STRATEGIES:
        import_optional("hypothesis", "test", f"minnet.testing.{name}")
        return getattr(importlib.import_module("minnet.testing.strategies"), name)
    raise AttributeError(f"minnet.testing has no {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *STRATEGIES])

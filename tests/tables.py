"""The tests' tables of small nets and of what judges them. A new criterion, structure or distribution joins every law
by its row in minnet's own table; a new net by its row in NETS.

    @pytest.mark.parametrize("net", NETS)
    def test_a_law(net):
        model = make(net)                  # float64, random values; no two alike
        sample = sample_for(model)         # rows and labels for it
"""
from minnet.pruning.structures import STRUCTURES
from minnet.testing.small import NETS, make, sample_for

__all__ = ["COUNTED", "IMAGES", "IMAGE_NETS", "NETS", "PAIRS", "SELF_COUNTING", "UNITS", "fits", "make", "sample_for"]
SELF_COUNTING = {"n_m", "2:4", "1:3", "pattern"}                   # structures that refuse a sparsity
COUNTED = [name for name in (*STRUCTURES, "2x3", "3x1") if name not in SELF_COUNTING]
UNITS = ("neuron", "filter", "channel", "input")                   # these keep one unit an axis, and go whole
IMAGES = ("filter", "kernel", "pattern")                           # these want a convolution
IMAGE_NETS = ("conv", "residual", "depthwise")


def fits(structure, net):
    """Whether the net has pieces of that structure."""
    if structure in IMAGES:
        return net in IMAGE_NETS
    return not (structure == "neuron" and net in ("residual", "depthwise"))  # their only Dense layer makes the logits


PAIRS = [(structure, net) for structure in COUNTED for net in NETS if fits(structure, net)]

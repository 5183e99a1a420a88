"""Dense nets: what the pruned ones are beside.

LeNet-300-100 (784-300-100-10) and LeNet-5 in Caffe's widths (20 and 50 filters of 5 x 5, 500 units), ReLU, images
divided by 255, all 60,000 of them, no augmentation. SGD with Nesterov momentum 0.9, decay of weights 5e-4, batches of
100: LeNet-300-100 for 40 epochs with a learning rate of 0.1, a tenth of it from 60 %, a hundredth from 90 % of them on
(a cosine missed 0.1 points more of the validation images), LeNet-5 for 10 epochs with 0.03 on a cosine to 0. Dense
nets of the papers on pruning miss 1.31 (Dettmers and Zettlemoyer, 2019) to 2.28 % (Guo et al., 2016) and 0.64 to 1.27
% of the test part.
"""
from bench.papers.lab import DENSE
from bench.papers.row import Row

LENET_5 = {"net": "lenet_5", "epochs": 10, "lr": 0.03, "decay": 5e-4, "batch": 100}


def run(lab, **base):
    """Train; the figure is the test error after the last epoch."""
    data = lab.data()
    return lab.outcome(lab.dense(data, **base), data, base["epochs"])


ROWS = (
    Row("dense_lenet_300_100", "dense nets of papers on pruning", "1.31 to 2.28, wanted 1.60", 1.60, run, DENSE,
        {"epochs": 1}),
    Row("dense_lenet_5", "dense nets of papers on pruning", "0.64 to 1.27, wanted 0.90", 0.90, run, LENET_5,
        {"epochs": 1, "net": "mlp_small"}),
)

"""PyTorch modules become Models with the same outputs, and stay as they were. Skipped where torch is absent."""
import numpy as np
import pytest

import minnet as mn
from minnet.errors import InvalidType, InvalidValue, Unsupported

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from torch.nn.utils import prune  # noqa: E402 - needs torch itself

nn = torch.nn


def net():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(24, 5), nn.Dropout(), nn.PReLU(), nn.Linear(5, 3), nn.Softmax(1))


@pytest.mark.parametrize("give", [lambda x: x, lambda x: x[:1].numpy().tolist()])
def test_a_module(give):
    """In evaluation mode, which is put back; images are channels last here, logits come out."""
    torch.manual_seed(0)
    module, x = net(), torch.randn(6, 2, 4, 6)
    module(x)  # so that its statistics are some
    model = mn.from_torch(module, give(x))
    assert module.training and module[1].training
    probabilities = module.eval()(x).detach().numpy()
    found = model.predict_proba(x.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found, probabilities, rtol=1e-5, atol=1e-6)


def test_masks_of_torchs_own_pruning_come_with_it():
    layer = nn.Linear(8, 4)
    prune.l1_unstructured(layer, "weight", 0.5)
    assert mn.from_torch(layer, np.zeros((1, 8))).sparsity == mn.from_torch(nn.Sequential(layer)).sparsity == 0.5


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("no\nway")


@pytest.mark.parametrize("module, example, error, words", [
    (lambda x: x, np.zeros((1, 3)), InvalidType, "wanted a torch.nn.Module"),
    (nn.Linear(3, 2), np.zeros(3), InvalidValue, "at least one row"),
    (nn.Linear(3, 2), np.zeros((0, 3)), InvalidValue, "at least one row"),
    (net(), None, InvalidValue, "begins with Conv2d, which does not say what shape it takes: give an example, such as"),
    (nn.ReLU(), None, InvalidValue, "has no weights"),
    (Broken(), np.zeros((1, 3)), Unsupported, "cannot export the module: no way"),
    (nn.Sequential(nn.Linear(3, 3), nn.Softsign()), np.zeros((1, 3)), Unsupported, "the module cannot be read"),
])
def test_what_is_refused(module, example, error, words):
    with pytest.raises(error, match=words) as caught:
        mn.from_torch(module, example)
    assert str(caught.value).isprintable() and "module.onnx" not in str(caught.value)

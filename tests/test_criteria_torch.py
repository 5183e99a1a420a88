"""PyTorch's autograd agrees on criteria that are derivatives, and on Wanda and LAMP: each written here once more from
the equations of its paper. Skipped where torch is absent."""
import numpy as np
import pytest
from layer_table import twin
from tables import NETS, make, sample_for

from minnet.engine.conv import Conv2d
from minnet.pruning import criteria

torch = pytest.importorskip("torch")
AGREE = 1e-6


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """PyTorch's threads would wait for each other more than they work on arrays this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors_of(model):
    """Every parameter as a tensor of its own, by name; the weights require gradients."""
    return {name: torch.tensor(p.value, requires_grad=p.kind == "weight") for name, p in model.parameters.items()}


def outputs(model, tensors, x):
    """The logits of the twin, in use, for an array in minnet's layout."""
    x = torch.as_tensor(x)
    return twin(torch, model.tree, tensors, x.permute(0, 3, 1, 2) if x.ndim == 4 else x, False)


def loss_of(model, tensors, sample):
    logits = outputs(model, tensors, sample.X)
    return torch.nn.functional.cross_entropy(logits, torch.as_tensor(sample.y))


def weights_of(model, tensors):
    return [tensors[p.name] for p in model.weight_parameters]


def agree(model, scores, theirs):
    """Scores layer by layer against tensors in the weights' shapes."""
    for p, tensor in zip(model.weight_parameters, theirs, strict=True):
        expected = tensor.detach().numpy()
        np.testing.assert_allclose(p.of(scores), expected, rtol=AGREE, atol=AGREE * np.abs(expected).max())


@pytest.fixture(params=NETS)
def model(request):
    return make(request.param)


@pytest.fixture
def sample(model):
    return sample_for(model, rows=20)


def test_snip(model, sample):
    """|dL(c * w)/dc| at c = 1, normalised by its sum: the gradient of the mask itself."""
    tensors = tensors_of(model)
    c = [torch.ones_like(w, requires_grad=True) for w in weights_of(model, tensors)]
    for p, gate in zip(model.weight_parameters, c, strict=True):
        tensors[p.name] = tensors[p.name].detach() * gate
    g = torch.autograd.grad(loss_of(model, tensors, sample), c)
    total = sum(each.abs().sum() for each in g)
    agree(model, criteria.snip(model, sample), [each.abs() / total for each in g])


def test_grasp(model, sample):
    """theta * H g by double backward, the gradient of g(theta)' g with the last g held; the paper's -S(-theta)."""
    tensors = tensors_of(model)
    w = weights_of(model, tensors)
    g = torch.autograd.grad(loss_of(model, tensors, sample), w, create_graph=True)
    flow = sum((each * each.detach()).sum() for each in g)
    agree(model, criteria.grasp(model, sample),
          [one.detach() * each for one, each in zip(w, torch.autograd.grad(flow, w), strict=True)])


def test_synflow(model):
    """theta * dR/dtheta with R = sum of f(1; |theta|); running means are 0, as where the method belongs."""
    tensors = {name: torch.tensor(np.abs(p.value) * (p.kind != "mean"), requires_grad=p.kind == "weight")
               for name, p in model.parameters.items()}
    w = weights_of(model, tensors)
    g = torch.autograd.grad(outputs(model, tensors, np.ones((1, *model.input_shape))).sum(), w)
    agree(model, criteria.synflow(model), [(one * each).detach() for one, each in zip(w, g, strict=True)])


def test_fisher(model, sample):
    """1/2 w^2 times the mean over images of the squared gradient."""
    tensors = tensors_of(model)
    w = weights_of(model, tensors)
    expected = [torch.zeros_like(one) for one in w]
    for i in range(len(sample)):
        logits = outputs(model, tensors, sample.X[i : i + 1])
        loss = torch.nn.functional.cross_entropy(logits, torch.as_tensor(sample.y[i : i + 1]))
        for total, one, g in zip(expected, w, torch.autograd.grad(loss, w), strict=True):
            total += (one.detach() * g) ** 2 / (2 * len(sample))
    agree(model, criteria.fisher(model, sample), expected)


def test_lamp(model):
    """w_u^2 / sum of w_v^2 over v >= u in the order of size; no two sizes are equal here."""
    def score(w):
        square = w.detach().reshape(-1) ** 2
        return torch.stack([s / square[square >= s].sum() for s in square]).reshape(w.shape)

    agree(model, criteria.lamp(model), [score(w) for w in weights_of(model, tensors_of(model))])


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_wanda(net):
    """|W| ||X||_2, X what PyTorch's own layers get, convolutions by unfold."""
    model = make(net)
    sample = sample_for(model, rows=20)
    tensors, seen = tensors_of(model), {}
    x = torch.as_tensor(sample.X)
    x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
    for layer in model.tree.layers:
        seen[layer.name] = x
        x = twin(torch, layer, tensors, x, False)
    expected = []
    for p in model.weight_parameters:
        X, layer = seen[p.layer].detach(), model.layers[p.layer]
        if isinstance(layer, Conv2d):
            at = layer.window
            X = torch.nn.functional.pad(X, (at.left, at.right, at.top, at.bottom))
            X = torch.nn.functional.unfold(X, at.kernel, stride=at.stride)  # (n, c*kh*kw, positions)
            norm = (X**2).sum(dim=(0, 2)).sqrt().reshape(p.shape[2], *at.kernel).permute(1, 2, 0)[..., None]
        else:
            norm = (X**2).sum(dim=0).sqrt()[:, None]
        expected.append(tensors[p.name].abs() * norm)
    agree(model, criteria.wanda(model, sample), expected)

"""PyTorch agrees: its autograd on criteria that are derivatives, its tensors on Wanda, LAMP, ERK and n:m, each written
here once more from the equations of its paper. Skipped where torch is absent."""
import numpy as np
import pytest
from layer_table import twin
from tables import NETS, make, sample_for

from minnet.engine.conv import Conv2d
from minnet.pruning import criteria
from minnet.pruning.prune import prune

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


def loss_of(model, tensors, sample, temperature=1.0):
    logits = outputs(model, tensors, sample.X) / temperature
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


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp(model, sample, temperature):
    """theta * H g by double backward, the gradient of g(theta)' g with the last g held; the paper's -S(-theta)."""
    tensors = tensors_of(model)
    w = weights_of(model, tensors)
    g = torch.autograd.grad(loss_of(model, tensors, sample, temperature), w, create_graph=True)
    flow = sum((each * each.detach()).sum() for each in g)
    agree(model, criteria.grasp(model, sample, temperature),
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


def erk(tensors, density):
    """(densities, sizes) of layers: eps (kh + kw + in + out) / (kh kw in out), at most 1, with the eps that leaves so
    much of all weights (Evci et al., 2020)."""
    sizes = torch.tensor([float(w.numel()) for w in tensors], dtype=torch.float64)
    raw = torch.tensor([float(sum(w.shape)) for w in tensors], dtype=torch.float64) / sizes
    capped = torch.zeros(len(sizes), dtype=torch.bool)
    while True:
        left = density * sizes.sum() - sizes[capped].sum()
        found = torch.where(capped, 1.0, left / (raw * sizes)[~capped].sum() * raw)
        if not (found > 1).any():
            return found, sizes
        capped |= found > 1


@pytest.mark.parametrize("sparsity", [0.3, 0.6, 0.9])
def test_erk(model, sparsity):
    """Where ERK's real number of weights stays, to within the one that rounding moves."""
    density, sizes = erk(weights_of(model, tensors_of(model)), 1 - sparsity)
    result = prune(model, sparsity, distribution="erk")
    left = torch.tensor([float(layer.remaining) for layer in result.per_layer.values()], dtype=torch.float64)
    assert ((left - density * sizes).abs() <= 1 + AGREE).all()
    assert result.removed == round(sparsity * model.n_weights)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 5)])
def test_n_m(model, n, m):
    """The n largest of each m along the input axis, by topk over groups; a last group of r keeps min(n, r)."""
    tensors = tensors_of(model.clone())
    prune(model, structure=f"{n}:{m}")
    for p in model.weight_parameters:
        rows = tensors[p.name].detach().reshape(-1, p.shape[-1]).abs()
        short = -len(rows) % m
        padded = torch.nn.functional.pad(rows, (0, 0, 0, short), value=-1.0).reshape(-1, m, p.shape[-1])
        kept = torch.zeros(padded.shape, dtype=torch.bool).scatter(1, padded.topk(n, dim=1).indices, True)
        kept = kept.reshape(-1, p.shape[-1])[: len(rows)].reshape(p.shape)
        np.testing.assert_array_equal(p.mask, kept.numpy())

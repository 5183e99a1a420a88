"""Pictures of masks on a terminal."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import minnet as mn
from minnet.cli.masks import BAR, HIGH, WIDE, bar, mask_pictures, picture, pooled, read_inputs, shades


@given(arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=90), elements=st.sampled_from([0, 0.01, 0.5, 1])))
def test_a_picture_is_blank_exactly_where_nothing_lives(density):
    lines = picture(density)
    small = pooled(pooled(density, HIGH).T, WIDE).T
    width = 1 + (2 * density.shape[1] <= WIDE and len(density) <= HIGH)
    assert len(lines) == len(small) <= HIGH and max(map(len, lines)) <= WIDE
    for line, shares in zip(lines, small, strict=True):
        cells = line.ljust(width * len(shares))[::width]
        assert [cell != " " for cell in cells] == (shares > 0).tolist()
        assert all(cell == shades()[-1] for cell, share in zip(cells, shares, strict=True) if share == 1)
    np.testing.assert_allclose(np.average(pooled(density, HIGH), axis=0, weights=np.diff(np.linspace(
        0, len(density), min(len(density), HIGH) + 1).round())), density.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("encoding, letters", [("utf-8", " ░▒▓█"), ("ascii", " .+#@"), (None, " .+#@")])
def test_letters_are_those_that_the_output_has(monkeypatch, encoding, letters):
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding))
    assert shades() == letters
    assert [bar(share).count(letters[-1]) for share in (0, 1e-9, 0.5, 1)] == [0, 1, BAR // 2, BAR]


def test_the_pixels_that_are_read_are_counted():
    model = mn.models.mlp((3, 4), 2, [5], rng=0)
    mask = model.mask
    live = next(iter(model.weight_parameters)).of(mask)
    live[...] = 0
    live[5, :3] = live[0, 0] = 1
    model.set_mask(mask)
    assert read_inputs(model).tolist() == [[1 / 3, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    for other in (mn.models.mlp((3,), 2, [5], rng=0), mn.models.lenet_5((28, 28, 1), 2, rng=0)):
        assert read_inputs(other) is None


def test_inspect_tells_a_run_again_and_draws_its_masks(tmp_path, monkeypatch, capsys):
    from minnet.cli import main
    from minnet.study import measure

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    assert main(["prune", "digits", "--epochs", "1", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert main(["inspect", "minnet-out"]) == 0
    again = capsys.readouterr().out
    assert again.startswith(told) and "minnet prune digits --epochs 1 --quiet" in again and "report.html" in again
    assert main(["inspect", "minnet-out/model.safetensors", "--masks"]) == 0
    drawn = capsys.readouterr().out
    assert "pixels that live weights" in drawn and "dense3: inputs from top to bottom" in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_masks_of_a_net_that_was_born_sparse_are_drawn_in_its_places():
    model = mn.models.sparse_mlp((6, 8, 3), 1, rng=0)
    lines = list(mask_pictures(model))
    shapes = [p.shape for p in model.weight_parameters]
    assert len(lines) == sum(2 + rows for rows, _ in shapes)
    live = sum(len(line) - line.count(" ") for line in lines if line and ":" not in line)
    assert live == 2 * sum(p.mask.sum() for p in model.weight_parameters)  # a letter is drawn twice

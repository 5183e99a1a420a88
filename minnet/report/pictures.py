"""The Displays behind `mn.plot`, beside those of displays.py: each holds its numbers and draws them by `plot(ax=ax)`.

Colours are never alone: sizes, numbers or hatches say the same.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from minnet.report.displays import Display
from minnet.report.plots import axes_of, plot_agreement
from minnet.study.agreement import Agreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 1          # columns between the tiles of a mosaic
CAPTION = 0.35   # of the height of a tile: room for its caption
PART_COLOUR = "tab:blue"


def pitch(height: int, width: int) -> tuple[int, int]:
    """Return how far apart tiles begin, down and across."""
    return height + max(1, round(CAPTION * height)), width + GAP


def mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Return images (n, height, width) side by side, `columns` a row, with gaps of NaN."""
    n, height, width = tiles.shape
    rows = -(-n // columns)
    down, across = pitch(height, width)
    sheet = np.full((rows * down - (down - height), columns * across - GAP), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * down, i % columns * across
        sheet[top : top + height, left : left + width] = tile
    return sheet


class Tiles(Display):
    """Small images side by side, each with a caption; what is NaN is left out.

    Parameters
    ----------
    tiles : (n, height, width) array
        The images.
    captions : sequence of str
        One for each.
    title : str
        The title above all.
    signed : bool
        Whether 0 is the middle of the colours.
    """

    def __init__(self, tiles: np.ndarray, captions: Sequence[str], title: str = "", signed: bool = True) -> None:
        self.tiles, self.captions, self.title, self.signed = tiles, list(captions), title, signed
        self.columns = max(1, int(np.ceil(np.sqrt(len(tiles) * 1.6))))

    def plot(self, ax: Axes | None = None, *, cmap: str | None = None) -> Self:
        """Draw the tiles in one pair of axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.
        cmap : str, optional
            Name of a colour map. Default: "RdBu" for signed numbers, else "Greys".

        Returns
        -------
        Tiles
            The display itself.
        """
        ax = axes_of(ax)
        ax.set(xticks=[], yticks=[])
        ax.set_title(self.title, pad=14, fontsize=10)  # above the captions of the first row
        ax.set_frame_on(False)
        if not len(self.tiles):
            return self._drawn(ax)
        down, across = pitch(*self.tiles.shape[1:])
        largest = float(np.nanmax(np.abs(self.tiles), initial=0)) or 1.0
        sheet = mosaic(self.tiles, self.columns)
        inside = mosaic(np.ones_like(self.tiles), self.columns)
        ax.imshow(np.where(np.isnan(inside), np.nan, 0.0), cmap="Greys", vmin=-0.25, vmax=1, interpolation="nearest")
        self.image_ = ax.imshow(sheet, cmap=cmap or ("RdBu" if self.signed else "Greys"),
                                vmin=-largest if self.signed else 0, vmax=largest, interpolation="nearest")
        for i, caption in enumerate(self.captions):
            ax.annotate(caption, (i % self.columns * across - 0.5, i // self.columns * down - 0.5),
                        xytext=(1, 1), textcoords="offset points", fontsize=6, va="bottom")
        return self._drawn(ax)


class BarsDisplay(Display):
    """A row of two bars for each layer: how many there are of something, and of them the part that is named first.

    Parameters
    ----------
    names : sequence of str
        The layers, the first on top.
    parts, wholes : sequence of int
        The part and the whole of each.
    part, whole : str
        What they are, for the legend.
    unit : str
        What is counted, for the axis.
    log : bool
        Whether the axis of counts is logarithmic.
    """

    def __init__(self, names: Sequence[str], parts: Sequence[int], wholes: Sequence[int], *, part: str, whole: str,
                 unit: str, log: bool = False) -> None:
        self.names, self.parts, self.wholes = list(names), list(parts), list(wholes)
        self.part, self.whole, self.unit, self.log = part, whole, unit, log

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the bars, with the counts beside them.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        BarsDisplay
            The display itself.
        """
        ax = axes_of(ax)
        places = range(len(self.names))
        ax.barh(places, self.wholes, height=0.7, color="0.85", edgecolor="0.4", label=self.whole)
        ax.barh(places, self.parts, height=0.4, color=PART_COLOUR, label=self.part)
        for i, (part, whole) in enumerate(zip(self.parts, self.wholes, strict=True)):
            share = f" ({part / whole:.0%})" if whole else ""
            ax.annotate(f"{part:,} of {whole:,}{share}", (max(whole, 1), i), xytext=(4, 0),
                        textcoords="offset points", va="center", fontsize=8)
        if self.log:
            ax.set_xscale("log")
        ax.margins(x=0.45)
        ax.set_yticks(places, self.names)
        ax.invert_yaxis()
        ax.set(xlabel=self.unit, ylabel="layer")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False)
        return self._drawn(ax)


class HistoryDisplay(Display):
    """The round in which each weight of a layer was removed: one row a unit, one column an input.

    Parameters
    ----------
    rounds : (inputs, units) array of int
        0 where a weight was masked before the first round, k where round k removed it, -1 where it is live.
    name : str
        Name of the layer.
    last : int
        How many rounds there were.
    """

    def __init__(self, rounds: np.ndarray, name: str, last: int) -> None:
        self.rounds, self.name, self.last = rounds, name, last

    def plot(self, ax: Axes | None = None, *, cmap: str = "viridis") -> Self:
        """Draw the rounds in colours, early ones dark; live weights are white.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.
        cmap : str
            Name of a colour map.

        Returns
        -------
        HistoryDisplay
            The display itself.
        """
        ax = axes_of(ax)
        shown = np.ma.masked_less(self.rounds.T, 0)
        self.image_ = ax.imshow(shown, cmap=cmap, vmin=0, vmax=max(self.last, 1), aspect="auto",
                                interpolation="nearest")
        ax.set_facecolor("white")
        live = int(np.count_nonzero(self.rounds < 0))
        ax.set(xlabel="input", ylabel="unit", title=f"{self.name}: {live:,} of {self.rounds.size:,} live, in white")
        bar = ax.figure.colorbar(self.image_, ax=ax, label="round that removed it")
        bar.set_ticks(np.unique(np.linspace(0, max(self.last, 1), 6).round()))
        return self._drawn(ax)


class AgreementDisplay(Display):
    """The overlap of criteria with the oracle over the sparsity; dashed is that of random removal.

    Parameters
    ----------
    agreement : Agreement
        What `compare_criteria` returns.
    """

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a line for each criterion, and that of chance.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        AgreementDisplay
            The display itself.
        """
        return self._drawn(plot_agreement(self.agreement, ax))



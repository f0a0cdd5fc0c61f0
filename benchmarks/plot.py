"""The plot of the page: for each case, each system's derivative as a multiple of ours."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.results import Results

#: Colour and marker of each system: by hand in grey, array programs in blues, kernel languages in warm colours.
STYLES = {
    "dsl fastmath": ("black", "|"), "C++ by hand": ("0.35", "s"), "NumPy by hand": ("0.65", "s"),
    "JAX": ("#1f77b4", "o"), "torch": ("#4aa3df", "o"), "torch.compile": ("#0b3d6b", "o"), "autograd": ("#9cc9ec", "o"),
    "CasADi": ("#2ca02c", "D"), "Warp": ("#d62728", "^"), "Taichi": ("#ff7f0e", "^"), "Dr.Jit": ("#9467bd", "^"),
    "Enzyme (enzyme-ad)": ("#8c564b", "^"),
}  # fmt: skip


def draw(results: Results, path: Path) -> bool:
    """Write the picture; False where there is nothing to show."""
    from benchmarks.page import _order

    names = [name for name in sorted(results.cases, key=_order) if results.median(name, "dsl")]
    if not names:
        return False
    figure, axes = plt.subplots(figsize=(8.5, 0.33 * len(names) + 1.4))
    for peer, (colour, marker) in STYLES.items():
        points = [
            (theirs / ours, row)
            for row, name in enumerate(names)
            if (theirs := results.median(name, peer)) and (ours := results.median(name, "dsl"))
        ]
        if points:
            x, y = zip(*points)
            axes.plot(x, y, marker, color=colour, label=peer, markersize=9 if marker == "|" else 5.5, linestyle="none")
    axes.axvline(1.0, color="black", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("time of the derivative, as a multiple of dsl's (left of the line is faster)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True

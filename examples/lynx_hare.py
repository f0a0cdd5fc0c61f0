"""Fit the Lotka-Volterra equations to the Hudson's Bay Company's record of hares and lynxes, 1900 to 1920.

    hare' = alpha * hare - beta * hare * lynx        lynx' = delta * hare * lynx - gamma * lynx

Four rates and two initial values are found by least squares on the logarithms. The model is integrated by Runge-Kutta
steps in the time loop of one kernel, `misfit`; reverse mode through all of these steps gives its gradient, and SciPy's
L-BFGS-B does the rest. Run as `python examples/lynx_hare.py`, or `make demo`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import OptimizeResult, minimize

import dsl
from dsl import Const, Duplicated, ReverseWithPrimal, autodiff

DATA = Path(__file__).resolve().parent / "data" / "hudson_bay.csv"
NAMES = ("alpha", "beta", "gamma", "delta", "hare(1900)", "lynx(1900)")
MEANING = (
    "births of hares, per year",
    "hares lost per lynx (thousands) and year",
    "deaths of lynxes, per year",
    "lynxes won per hare (thousands) and year",
    "thousands of pelts",
    "thousands of pelts",
)


def runge_kutta(hare, lynx, alpha, beta, gamma, delta, h):
    """One step of length h of the classical fourth order method."""
    f1 = hare * (alpha - beta * lynx)
    g1 = lynx * (delta * hare - gamma)
    hare2 = hare + 0.5 * h * f1
    lynx2 = lynx + 0.5 * h * g1
    f2 = hare2 * (alpha - beta * lynx2)
    g2 = lynx2 * (delta * hare2 - gamma)
    hare3 = hare + 0.5 * h * f2
    lynx3 = lynx + 0.5 * h * g2
    f3 = hare3 * (alpha - beta * lynx3)
    g3 = lynx3 * (delta * hare3 - gamma)
    hare4 = hare + h * f3
    lynx4 = lynx + h * g3
    f4 = hare4 * (alpha - beta * lynx4)
    g4 = lynx4 * (delta * hare4 - gamma)
    return hare + h / 6 * (f1 + 2 * f2 + 2 * f3 + f4), lynx + h / 6 * (g1 + 2 * g2 + 2 * g3 + g4)


@dsl.kernel
def misfit(p, hares, lynxes, steps):
    """Sum of the squared differences of logarithms; p holds the logarithms of the six unknowns (all are positive)."""
    alpha, beta, gamma, delta = math.exp(p[0]), math.exp(p[1]), math.exp(p[2]), math.exp(p[3])
    hare, lynx = math.exp(p[4]), math.exp(p[5])
    total = 0.0
    for year in range(hares.size):
        if year > 0:
            for _ in range(steps):
                hare, lynx = runge_kutta(hare, lynx, alpha, beta, gamma, delta, 1.0 / steps)
        total += (math.log(hare) - math.log(hares[year])) ** 2 + (math.log(lynx) - math.log(lynxes[year])) ** 2
    return total


@dsl.kernel
def trajectory(p, path, steps):
    """The model's course for the plot: path[k] gets hares and lynxes k / steps years after the start."""
    alpha, beta, gamma, delta = math.exp(p[0]), math.exp(p[1]), math.exp(p[2]), math.exp(p[3])
    hare, lynx = math.exp(p[4]), math.exp(p[5])
    for k in range(path.shape[0]):
        path[k, 0] = hare
        path[k, 1] = lynx
        hare, lynx = runge_kutta(hare, lynx, alpha, beta, gamma, delta, 1.0 / steps)


def read_record(file: Path = DATA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Years, hares and lynxes of the record."""
    years, hares, lynxes = np.loadtxt(file, delimiter=",", skiprows=2, unpack=True)
    return years, np.ascontiguousarray(hares), np.ascontiguousarray(lynxes)


def first_guess(hares: np.ndarray, lynxes: np.ndarray) -> np.ndarray:
    """What the theory says of small cycles: period 2 pi / sqrt(alpha gamma), about ten years in the record, around the
    balance hare = gamma / delta, lynx = alpha / beta."""
    rate = 2 * math.pi / 10
    return np.log([rate, rate / lynxes.mean(), rate, rate / hares.mean(), hares[0], lynxes[0]])


def misfit_and_gradient(p: np.ndarray, hares: np.ndarray, lynxes: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    """The misfit and its gradient by p, in one reverse sweep."""
    gradient = np.zeros_like(p)
    value, _ = autodiff(ReverseWithPrimal, misfit, Duplicated(p, gradient), Const(hares), Const(lynxes), Const(steps))
    return value, gradient


def central_differences(p: np.ndarray, hares: np.ndarray, lynxes: np.ndarray, steps: int) -> np.ndarray:
    """The same gradient by differences of the misfit alone, of fourth order so that they are a fair judge."""
    gradient = np.empty_like(p)
    h = 1e-3
    for i in range(p.size):
        e = np.zeros_like(p)
        e[i] = h
        near = misfit(p + e, hares, lynxes, steps) - misfit(p - e, hares, lynxes, steps)
        far = misfit(p + 2 * e, hares, lynxes, steps) - misfit(p - 2 * e, hares, lynxes, steps)
        gradient[i] = (8 * near - far) / (12 * h)
    return gradient


def check(p: np.ndarray, hares: np.ndarray, lynxes: np.ndarray, steps: int, console: Console) -> bool:
    """Show the gradient at p beside central differences; true if they agree."""
    _, gradient = misfit_and_gradient(p, hares, lynxes, steps)
    differences = central_differences(p, hares, lynxes, steps)
    table = Table("by log of", "reverse mode", "central differences", title="The gradient at the first guess")
    for row in zip(NAMES, gradient, differences):
        table.add_row(row[0], f"{row[1]:.10g}", f"{row[2]:.10g}")
    console.print(table)
    error = float(np.max(np.abs(gradient - differences)) / np.max(np.abs(differences)))
    good = error < 1e-8
    console.print(f"largest difference, relative: {error:.1e} {'(they agree)' if good else '(THEY DISAGREE)'}")
    return good


def fit(p: np.ndarray, hares: np.ndarray, lynxes: np.ndarray, steps: int, console: Console) -> OptimizeResult:
    """Minimise from p, with a line of progress for every tenth iteration."""
    iteration = 0

    def show(intermediate_result: OptimizeResult) -> None:
        nonlocal iteration
        iteration += 1
        if iteration % 10 == 1:
            console.print(f"  iteration {iteration:3d}   misfit {intermediate_result.fun:.8f}")

    console.print("Fitting by L-BFGS-B")
    start = time.perf_counter()
    result = minimize(
        misfit_and_gradient,
        p,
        args=(hares, lynxes, steps),
        jac=True,
        method="L-BFGS-B",
        callback=show,
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-8},
    )
    seconds = time.perf_counter() - start
    console.print(
        f"  iteration {iteration:3d}   misfit {result.fun:.8f} in {result.nfev} gradients, {seconds * 1e3:.1f} ms"
    )
    return result


def draw(p: np.ndarray, years: np.ndarray, hares: np.ndarray, lynxes: np.ndarray, file: Path) -> None:
    """Record and fitted curves, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps = 50
    path = np.zeros(((len(years) - 1) * steps + 1, 2))
    trajectory(p, path, steps)
    times = years[0] + np.arange(len(path)) / steps
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for series, curve, colour, name in (
        (hares, path[:, 0], "tab:blue", "hare"),
        (lynxes, path[:, 1], "tab:red", "lynx"),
    ):
        axes.plot(times, curve, color=colour, label=f"{name}, fitted")
        axes.plot(years, series, "o", color=colour, markersize=5, label=f"{name}, record")
    axes.set(
        xlabel="year", ylabel="pelts, thousands", title="Hudson's Bay Company: hare and lynx, with the fitted model"
    )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(2))
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the Lotka-Volterra equations to the hare and lynx record.")
    parser.add_argument("--out", type=Path, default=Path("out/lynx_hare.png"), help="the PNG to write (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="Runge-Kutta steps a year (%(default)s)")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")

    console = Console()
    years, hares, lynxes = read_record()
    guess = first_guess(hares, lynxes)
    console.print(f"{len(years)} years, {(len(years) - 1) * options.steps} Runge-Kutta steps, {len(guess)} unknowns")
    good = check(guess, hares, lynxes, options.steps, console)
    result = fit(guess, hares, lynxes, options.steps, console)

    table = Table("", "first guess", "fitted", "", title="The fit")
    for name, before, after, meaning in zip(NAMES, np.exp(guess), np.exp(result.x), MEANING):
        table.add_row(name, f"{before:.5g}", f"{after:.5g}", meaning)
    console.print(table)
    scatter = math.exp(math.sqrt(result.fun / (2 * len(years))))
    console.print(f"misfit {result.fun:.8f}: the record scatters around the model by a factor of {scatter:.2f}")
    draw(result.x, years, hares, lynxes, options.out)
    console.print(f"wrote {options.out}")
    return 0 if good and result.success else 1


if __name__ == "__main__":
    sys.exit(main())

"""The systems that are measured beside ours: a table of them, and their environments.

Each peer has a module here that computes the objectives as that system's users would write them, and runs in a virtual
environment of its own (several may share one), in the user's cache directory (`DSL_PEERS_DIR` names another folder):

    python -m benchmarks peers                      what is installed
    python -m benchmarks peers install jax torch
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The objectives that peers are asked for.
ALL = [
    "gmm", "ba", "ht", "kmeans", "lse", "llsq", "lstm", "ode", "waves", "lorenz", "stencil", "nbody", "inplace",
    "newton", "call",
]  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """A system, or a way to use one: the module that has its objectives, and where they run."""

    name: str
    module: str
    objectives: frozenset[str]
    #: The virtual environment's name; "" for the one that runs the benchmarks.
    environment: str = ""
    #: Objectives, or cases of them ("gmm 64x25"), that the system refuses, with its reason.
    refused: Mapping[str, str] = field(default_factory=dict)
    #: Passed to the module: how it is to be used.
    variant: str = ""

    def python(self) -> str | None:
        """The interpreter to run it with; None where its environment is not installed."""
        if self.environment:
            return str(interpreter(self.environment)) if installed(self.environment) else None
        if self.module == "in_cpp" and not compiler():
            return None
        return sys.executable


def _peer(name: str, module: str, objectives: str, environment: str = "", variant: str = "", **refused: str) -> Peer:
    return Peer(name, module, frozenset(objectives.split()), environment, refused, variant)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        _peer("dsl", "ours", " ".join(ALL)),
        _peer("dsl fastmath", "ours", " ".join(ALL), variant="fastmath"),
        _peer("C++ by hand", "in_cpp", "gmm kmeans lse llsq lstm ode waves lorenz stencil nbody inplace newton"),
        _peer("NumPy by hand", "in_numpy", "gmm kmeans lse llsq lstm ode waves stencil nbody inplace newton"),
        _peer(
            "JAX", "in_jax", "gmm ba ht kmeans lse llsq lstm ode waves lorenz stencil nbody inplace call", "jax",
            newton="reverse mode of lax.while_loop is refused",
        ),
        _peer("torch", "in_torch", "gmm ba ht kmeans lse llsq lstm ode waves stencil nbody inplace call", "torch"),
        _peer("torch.compile", "in_torch", "gmm lse waves nbody", "torch", variant="compile"),
        _peer("autograd", "in_autograd", "gmm kmeans lse llsq lstm ode waves stencil nbody inplace call", "autograd"),
        _peer("CasADi", "in_casadi", "lse llsq waves lorenz stencil inplace call", "casadi"),
        _peer("Warp", "in_warp", "gmm waves stencil nbody", "warp"),
        _peer(
            "Taichi", "in_taichi", "gmm waves stencil nbody", "taichi",
            **{"gmm 64x25": "took more than 200 s to its first gradient, and is not tried again"},
        ),
        _peer("Dr.Jit", "in_drjit", "lse waves nbody inplace newton", "drjit"),
        _peer("Enzyme (enzyme-ad)", "in_enzyme", "lse ode waves lorenz nbody inplace newton", "enzyme"),
    )
}  # fmt: skip

#: What pip installs into each environment.
PACKAGES: dict[str, list[str]] = {
    "jax": ["jax"],
    "torch": ["torch==2.13.0", "numpy"],
    "autograd": ["autograd", "scipy"],
    "casadi": ["casadi", "numpy"],
    "warp": ["warp-lang", "numpy"],
    "taichi": ["taichi", "numpy"],
    "drjit": ["drjit", "numpy"],
    "enzyme": ["enzyme-ad", "numpy"],
}


def folder() -> Path:
    """Where the environments are."""
    if given := os.environ.get("DSL_PEERS_DIR"):
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("diffdsl", appauthor=False) / "peers"


def interpreter(environment: str) -> Path:
    return folder() / environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def installed(environment: str) -> bool:
    """Whether an installation was finished."""
    return (folder() / environment / ".installed").exists() and interpreter(environment).exists()


def install(environment: str) -> None:
    """Make the environment and install its packages; CalledProcessError where that fails."""
    place = folder() / environment
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    python = str(interpreter(environment))
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[environment]], check=True)
    (place / ".installed").touch()


def compiler() -> str | None:
    """The system's C++ compiler."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")


def chosen(names: str) -> list[Peer]:
    """The peers of a list "jax,torch": by name (case and spaces do not count), environment, or "floor" for those by
    hand; "" is all. Our own are always among them. ValueError for a name that is unknown.
    """
    if not names:
        return list(PEERS.values())
    found = [peer for peer in PEERS.values() if peer.module == "ours"]
    for name in (n.strip().lower() for n in names.split(",")):
        fits = [p for p in PEERS.values() if name in (p.name.lower(), p.environment, "floor" if by_hand(p) else "")]
        if not fits:
            known = sorted({p.environment or p.name for p in PEERS.values() if p.module != "ours"} | {"floor"})
            raise ValueError(f"there is no peer {name!r}; known are {', '.join(known)}")
        found += [peer for peer in fits if peer not in found]
    return found


def by_hand(peer: Peer) -> bool:
    """Whether the derivative is written by hand."""
    return peer.module in ("in_cpp", "in_numpy")

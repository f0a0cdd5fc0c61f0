"""Our own system as a peer: the objectives of `benchmarks.objectives`, as they are or with `fastmath`."""

from __future__ import annotations

import importlib
from typing import Any

import dsl
from benchmarks.case import fast, plain
from benchmarks.peers.exchange import Prepared

VERSION = dsl.__version__


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    module = importlib.import_module(f"benchmarks.objectives.{objective}")
    case = module.OBJECTIVE.make(data, fast if variant == "fastmath" else plain)
    return Prepared(case.primal, case.derivative, lambda result: result)

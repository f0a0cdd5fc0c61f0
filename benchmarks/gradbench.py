"""A tool for GradBench: `python -m benchmarks.gradbench` speaks its protocol, JSON objects, a line each.

Messages are `start`, `define` (a module), `evaluate` (a function of a module on an input) and `analysis`; each gets one
answer with its id. A function runs at least `min_runs` times and `min_seconds` long; each run is one timing. All evals
are there: hello, gmm, ba, ht, lstm, kmeans, lse, llsq, ode, det, particle, saddle.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, fast, plain
from benchmarks.objectives import ba, det, gmm, ht, kmeans, llsq, lse, lstm, ode, particle, saddle
from dsl import Active, Reverse, autodiff

#: How kernels are compiled; `--fastmath` changes it.
compile = plain

Run = Callable[[], Any]
#: What an input becomes: the call that is timed, and what makes its result the answer.
Prepared = tuple[Run, Callable[[Any], Any]]


@dsl.kernel
def square(x):
    return x * x


def _as_list(result: Any) -> Any:
    return np.asarray(result).tolist()


def _primal(module: Any) -> Callable[[Mapping[str, Any]], Prepared]:
    return lambda data: (_case(module, data).primal, _as_list)


def _derivative(module: Any) -> Callable[[Mapping[str, Any]], Prepared]:
    return lambda data: (_case(module, data).derivative, _as_list)


def _case(module: Any, data: Mapping[str, Any]) -> Case:
    return module.OBJECTIVE.make(data, compile)  # type: ignore[no-any-return]


# gmm, kmeans: gradients in the shape of what they are by ------------------------------------------------------------
def _gmm_gradient(data: Mapping[str, Any]) -> Prepared:
    shapes = {name: value.shape for name, value in zip(("alpha", "mu", "q", "l"), gmm.parameters(data))}

    def answer(found: np.ndarray) -> dict[str, Any]:
        parts, at = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            parts[name] = found[at : at + size].reshape(shape).tolist()
            at += size
        return parts

    return _case(gmm, data).derivative, answer


def _kmeans_direction(data: Mapping[str, Any]) -> Prepared:
    width = len(data["centroids"][0])
    return _case(kmeans, data).derivative, lambda found: found.reshape(-1, width).tolist()


# ba: the input names one camera, point, weight and feature for all; each is computed all the same --------------------
def _ba_data(data: Mapping[str, Any]) -> dict[str, Any]:
    n, m, p = data["n"], data["m"], data["p"]
    index = np.arange(p)
    return {
        "cams": np.tile(data["cam"], (n, 1)), "points": np.tile(data["x"], (m, 1)),
        "weights": np.full(p, float(data["w"])), "features": np.tile(data["feat"], (p, 1)),
        "observed": np.stack([index % n, index % m], axis=1),
    }  # fmt: skip


def _ba_objective(data: Mapping[str, Any]) -> Prepared:
    def answer(found: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        errors, weight_errors = found
        return {
            "reproj_error": {"elements": errors[0].tolist(), "repeated": len(errors)},
            "w_err": {"element": float(weight_errors[0]), "repeated": len(weight_errors)},
        }

    return _case(ba, _ba_data(data)).primal, answer


def _ba_jacobian(data: Mapping[str, Any]) -> Prepared:
    """The matrix by compressed rows: two of 15 entries an observation, then one of 1; the first 30 and the last of each
    list are sent.
    """
    n, m, p = data["n"], data["m"], data["p"]
    case = _case(ba, _ba_data(data))

    def answer(values: np.ndarray) -> dict[str, Any]:
        rows = np.concatenate([15 * np.arange(2 * p), 30 * p + np.arange(p + 1)])
        index = np.arange(p)
        columns = np.concatenate(
            [
                11 * (index % n)[:, None] + np.arange(11),
                11 * n + 3 * (index % m)[:, None] + np.arange(3),
                11 * n + 3 * m + index[:, None],
            ],
            axis=1,
        )
        weights = 11 * n + 3 * m + index
        ends = lambda v: v[:30].tolist() + [v[-1].item()]  # noqa: E731
        return {
            "rows": ends(rows),
            "cols": ends(np.concatenate([np.repeat(columns, 2, axis=0).reshape(-1), weights])),
            "vals": ends(np.concatenate([values, np.full(p, -2.0 * data["w"])])),
        }

    return case.derivative, answer


def _ht_objective(data: Mapping[str, Any]) -> Prepared:
    return _case(ht, data).primal, lambda errors: errors.reshape(-1).tolist()


def _ht_jacobian(data: Mapping[str, Any]) -> Prepared:
    columns = len(data["theta"]) + (2 if len(data["us"]) else 0)
    return _case(ht, data).derivative, lambda found: found.reshape(columns, -1).T.tolist()


def _nested(module: Any, modes: str) -> Callable[[Mapping[str, Any]], Prepared]:
    def prepare(data: Mapping[str, Any]) -> Prepared:
        answer = _as_list if module is saddle else lambda found: float(found[0])
        return _case(module, {**data, "modes": modes}).primal, answer

    return prepare


FUNCTIONS: dict[str, dict[str, Callable[[Any], Prepared]]] = {
    "hello": {
        "square": lambda x: (lambda: square(float(x)), float),
        "double": lambda x: (lambda: autodiff(Reverse, square, Active, Active(float(x)))[0][0], float),
    },
    "gmm": {"objective": _primal(gmm), "jacobian": _gmm_gradient},
    "ba": {"objective": _ba_objective, "jacobian": _ba_jacobian},
    "ht": {"objective": _ht_objective, "jacobian": _ht_jacobian},
    "lstm": {"objective": _primal(lstm), "jacobian": _derivative(lstm)},
    "kmeans": {"cost": _primal(kmeans), "dir": _kmeans_direction},
    "lse": {"primal": _primal(lse), "gradient": _derivative(lse)},
    "llsq": {"primal": _primal(llsq), "gradient": _derivative(llsq)},
    "ode": {"primal": _primal(ode), "gradient": _derivative(ode)},
    "det": {"primal": _primal(det), "gradient": _derivative(det)},
    "particle": {modes: _nested(particle, modes) for modes in ("ff", "fr", "rf", "rr")},
    "saddle": {modes: _nested(saddle, modes) for modes in ("ff", "fr", "rf", "rr")},
}


def respond(message: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one message."""
    kind, answer = message.get("kind"), {"id": message["id"]}
    if kind == "start":
        return answer | {"tool": "diffdsl"}
    if kind == "define":
        known = message["module"] in FUNCTIONS
        return answer | ({"success": True} if known else {"success": False, "error": "no such module"})
    if kind == "evaluate":
        return answer | evaluate(message)
    return answer


def evaluate(message: Mapping[str, Any]) -> dict[str, Any]:
    """Runs a function as often as the input asks for; the first run, which may compile, is not timed."""
    function = FUNCTIONS.get(message["module"], {}).get(message["function"])
    if function is None:
        return {"success": False, "error": f"no function {message['function']} of {message['module']}"}
    data = message["input"]
    runs, seconds = (data.get("min_runs", 1), data.get("min_seconds", 0)) if isinstance(data, dict) else (1, 0)
    try:
        run, finish = function(data)
        begin = time.perf_counter_ns()
        result = run()
        timings = [{"name": "prepare", "nanoseconds": time.perf_counter_ns() - begin}]
        total = done = 0
        while done < max(runs, 1) or total < seconds * 1e9:
            begin = time.perf_counter_ns()
            result = run()
            timings.append({"name": "evaluate", "nanoseconds": time.perf_counter_ns() - begin})
            total, done = total + timings[-1]["nanoseconds"], done + 1
        return {"success": True, "output": finish(result), "timings": timings}
    except Exception as error:  # whatever it is, the eval is to hear of it, and to go on
        return {"success": False, "error": f"{type(error).__name__}: {error}"}


def main(arguments: list[str]) -> None:
    global compile
    if "--fastmath" in arguments:
        compile = fast
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(respond(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

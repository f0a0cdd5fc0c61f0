"""The GradBench tool as the intermediary sees it: a process that answers each line with a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gradbench
from benchmarks.objectives import ba, gmm, ht, kmeans, lstm

ROOT = Path(__file__).resolve().parents[2]


def lists(data):
    """As JSON gives it."""
    return json.loads(json.dumps(data, default=lambda v: v.tolist() if isinstance(v, np.ndarray) else v.item()))


def ask(module, function, data):
    answer = gradbench.respond(
        {"id": 7, "kind": "evaluate", "module": module, "function": function, "input": lists(data)}
    )
    assert answer["success"], answer
    json.dumps(answer)
    return answer


def test_session():
    messages = [
        {"id": 0, "kind": "start", "eval": "hello"},
        {"id": 1, "kind": "define", "module": "hello"},
        {"id": 2, "kind": "evaluate", "module": "hello", "function": "square", "input": 3.0},
        {"id": 3, "kind": "analysis", "of": 2, "valid": True},
        {"id": 4, "kind": "evaluate", "module": "hello", "function": "double", "input": 9.0},
        {"id": 5, "kind": "define", "module": "unheard of"},
        {"id": 6, "kind": "evaluate", "module": "hello", "function": "cube", "input": 1.0},
        {"id": 7, "kind": "evaluate", "module": "gmm", "function": "objective", "input": {"d": 3}},
        {"id": 8, "kind": "end"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gradbench"],
        input="".join(json.dumps(m) + "\n" for m in messages),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["id"] for a in answers] == list(range(9))
    assert answers[1]["success"] and answers[2]["output"] == 9.0 and answers[4]["output"] == 18.0
    assert [t["name"] for t in answers[2]["timings"]] == ["prepare", "evaluate"]
    assert not answers[5]["success"] and not answers[6]["success"] and "KeyError" in answers[7]["error"]
    assert answers[8] == {"id": 8}


def test_runs():
    data = {"x": [1.0, 2.0], "n": 5, "min_runs": 4, "min_seconds": 0}
    assert [t["name"] for t in ask("llsq", "primal", data)["timings"]] == ["prepare"] + ["evaluate"] * 4


def test_gmm():
    data = gmm.inputs(d=3, k=2, n=6)
    found = ask("gmm", "jacobian", data)["output"]
    assert {k: np.shape(v) for k, v in found.items()} == {"alpha": (2,), "mu": (2, 3), "q": (2, 3), "l": (2, 3)}
    expected = gmm.reference(*gmm.parameters(data), data["x"], 1.0, 0)
    np.testing.assert_allclose(np.concatenate([np.ravel(v) for v in found.values()]), expected, rtol=1e-10)
    value = ask("gmm", "objective", data)["output"]
    assert value == gmm.gmm(*gmm.parameters(data), data["x"], 1.0, 0)


def test_ba_is_a_matrix_by_compressed_rows():
    data = {"n": 2, "m": 3, "p": 4, "cam": ba.inputs(1, 1, 1)["cams"][0], "x": [7.2, 0.001, 3.0], "w": 0.4}
    data["feat"] = [271.8, 834.2]
    found = ask("ba", "jacobian", data)["output"]
    assert found["rows"] == [15 * i for i in range(9)] + [121, 122, 123, 124, 124]  # the last stands twice
    assert found["cols"][:15] == [*range(11), 22, 23, 24, 31] and found["cols"][15:30] == found["cols"][:15]
    assert found["cols"][30] == 34 and found["vals"][30] == -0.8
    full = gradbench._ba_data(lists(data))
    np.testing.assert_allclose(found["vals"][:30], ba.reference(*full.values())[:30], rtol=1e-10)
    errors = ask("ba", "objective", data)["output"]
    assert errors["reproj_error"]["repeated"] == 4 and errors["w_err"] == {"element": 1 - 0.16, "repeated": 4}


@pytest.mark.parametrize("complicated, columns", [(False, 26), (True, 28)])
def test_ht(complicated, columns):
    data = ht.inputs(vertices=12, n=5, complicated=complicated)
    assert np.shape(ask("ht", "jacobian", data)["output"]) == (15, columns)
    assert np.shape(ask("ht", "objective", data)["output"]) == (15,)


def test_shapes_of_the_rest():
    data = kmeans.inputs(k=3, n=20, d=2)
    assert np.shape(ask("kmeans", "dir", data)["output"]) == (3, 2)
    assert isinstance(ask("kmeans", "cost", data)["output"], float)
    data = lstm.inputs(layers=1, c=4, b=2)
    assert np.shape(ask("lstm", "jacobian", data)["output"]) == (8 * 2 + 3 * 2,)
    assert isinstance(ask("particle", "fr", {"w": 0.0})["output"], float)
    assert np.shape(ask("saddle", "rf", {"start": [1.0, 1.0]})["output"]) == (4,)
    assert np.shape(ask("det", "gradient", {"A": [1.0, 2.0, 3.0, 4.0], "ell": 2})["output"]) == (4,)

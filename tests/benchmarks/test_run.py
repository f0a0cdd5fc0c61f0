"""The runner on small inputs: processes that answer questions, what is measured of them, and the page."""

from __future__ import annotations

import ast
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import benchmarks.peers
from benchmarks import musts, page
from benchmarks.measure import TEST, PeerError, Plan, Process, difference, measure
from benchmarks.objectives import ht, lse
from benchmarks.peers import ALL, PEERS, chosen
from benchmarks.peers.exchange import load, save
from benchmarks.results import Results

PLAN = Plan(seconds=0.05, rounds=2, least=2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    peers = [PEERS["dsl"], PEERS["NumPy by hand"], PEERS["CasADi"]]
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSL_PEERS_DIR", str(folder / "no peers"))
        return measure(lse.OBJECTIVE, TEST, peers, PLAN, folder), folder


def test_measure(measured):
    result, folder = measured
    for name in ("dsl", "NumPy by hand"):
        found = result["peers"][name]
        assert found["error"] <= 1e-6
        for what in ("primal", "derivative"):
            assert len(found[what]["wall"]) == len(found[what]["cpu"]) == 2
            assert all(0.0 < t < 1.0 for t in found[what]["wall"])
        assert found["peak"] >= found["base"] > 0
    assert result["peers"]["CasADi"] == {"failed": "not installed"}
    assert len(list(folder.glob("reference-lse-*.npy"))) == 1


def test_process_answers_and_its_end_is_told(tmp_path):
    save(tmp_path / "in.npz", lse.OBJECTIVE.inputs(n=10))
    process = Process(PEERS["NumPy by hand"], PLAN, tmp_path / "log")
    try:
        with pytest.raises(PeerError, match="nothing is prepared"):
            process.ask(do="run", what="primal")
        with pytest.raises(PeerError, match="KeyError"):
            process.ask(do="frobnicate")
        process.ask(do="prepare", objective="lse", data=str(tmp_path / "in.npz"), result=str(tmp_path / "out.npy"))
        assert np.load(tmp_path / "out.npy").sum() == pytest.approx(1.0)
        assert len(process.ask(do="run", what="derivative", count=3, inner=2)["wall"]) == 3
        os.kill(process.process.pid, signal.SIGKILL)
        with pytest.raises(PeerError, match="crashed by signal 9"):
            process.ask(do="memory")
    finally:
        process.close()


def test_a_wrong_derivative_is_not_timed(tmp_path, monkeypatch):
    # The reference is read where it was kept: a wrong one stands for a wrong peer.
    monkeypatch.setattr("benchmarks.measure.reference", lambda *_: np.full(100, 0.02))
    result = measure(lse.OBJECTIVE, TEST, [PEERS["NumPy by hand"]], PLAN, tmp_path)
    found = result["peers"]["NumPy by hand"]
    assert found["failed"].startswith("wrong derivative") and "derivative" not in found


def test_difference():
    assert difference(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert difference(np.array([np.nan, 4.0]), np.array([1.0, 4.0])) == np.inf
    assert difference(np.zeros(3), np.zeros(2)) == np.inf


def test_inputs_as_files(tmp_path):
    data = ht.inputs(vertices=6, n=4)
    save(tmp_path / "in.npz", data)
    again = load(tmp_path / "in.npz")
    assert again["data"]["model"]["is_mirrored"] is False and len(again["us"]) == 0
    np.testing.assert_array_equal(again["data"]["model"]["weights"], data["data"]["model"]["weights"])


@pytest.mark.parametrize("peer", [p for p in PEERS.values() if p.module != "ours"], ids=lambda p: p.name)
def test_table_of_peers(peer):
    """Each module has a function for each objective that the table gives it."""
    tree = ast.parse((Path(benchmarks.peers.__file__).parent / f"{peer.module}.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    functions |= {getattr(t, "id", "") for node in tree.body if isinstance(node, ast.Assign) for t in node.targets}
    assert peer.objectives <= functions and peer.objectives <= set(ALL)
    assert not peer.objectives & set(peer.refused)


def test_chosen():
    assert [p.name for p in chosen("torch")] == ["dsl", "dsl fastmath", "torch", "torch.compile"]
    assert {"C++ by hand", "NumPy by hand"} <= {p.name for p in chosen("floor")}
    with pytest.raises(ValueError, match="no peer 'tapenade'"):
        chosen("jax,tapenade")


def results_of(times):
    """Results of the small mixture: medians in ms, by system and what was timed."""
    peers = {}
    for name, (primal, derivative) in times.items():
        primals, derivatives = ({clock: [t * 1e-3] * 5 for clock in ("wall", "cpu")} for t in (primal, derivative))
        found = {"version": "1", "error": 1e-12, "first": 0.5, "import": 0.1, "peak": 3 << 20, "base": 1 << 20}
        peers[name] = {**found, "primal": primals, "derivative": derivatives}
    peers["Warp"] = {"failed": "crashed by signal 11: oh | dear"}
    case = {"objective": "gmm", "size": "10x25", "tolerance": 1e-8, "peers": peers, "load": 0.1}
    machine = {"processor": "a loom"}
    return Results({"cases": {"gmm 10x25": case}, "parts": {"tape": {}}, "machine": machine, "threads": 1})


def test_verdicts():
    times = {"dsl": (2.0, 6.0), "dsl fastmath": (2.0, 8.0), "JAX": (2.0, 7.0)}
    results = results_of({**times, "torch.compile": (3.0, 9.0)})
    must = next(m for m in musts.MUSTS if m.work == "gmm 10×25")
    assert must.judge(results, "dsl") == ("6 ms, 3.0×; JAX 7 ms; torch.compile 9 ms", True)
    assert must.judge(results, "dsl fastmath")[1] is False  # four times its primal, and slower than JAX
    assert must.judge(results_of(times), "dsl") == ("6 ms, 3.0×; JAX 7 ms; torch.compile not measured", None)
    assert all(m.judge(Results(), "dsl") == musts.NOT_MEASURED for m in musts.MUSTS)


def test_page(tmp_path, measured):
    results = results_of({"dsl": (2.0, 6.0), "dsl fastmath": (2.0, 8.0), "JAX": (2.0, 7.0)})
    results.cases["lse test"] = measured[0]
    results.parts["startup"] = {"dsl": {"cold": 0.7, "warm": 0.2}, "Taichi": {"failed": "no"}}
    results.parts["scaling"] = {"dsl": {"waves": {"small": 1e-9, "large": 2e-9}}}
    results.write(tmp_path / "results.json")
    page.write(Results.read(tmp_path / "results.json"), tmp_path / "performance.md")
    text = (tmp_path / "performance.md").read_text()
    assert "| gmm 10×25 | faster than JAX and torch.compile, ≤ 3.5× primal | 6 ms, 3.0×; JAX 7 ms;" in text
    assert "**not met**" in text and "a loom" in text and "Not installed: CasADi" in text
    assert "| **dsl** | 1e-12 | 2 ms | 6 ms | 0% | 3.0 | 2 | 0.50 |" in text
    assert "Warp: crashed by signal 11: oh \\| dear." in text
    assert (tmp_path / "performance.png").stat().st_size < 200_000
    page.write(Results(), tmp_path / "empty.md")  # nothing measured yet: a page all the same

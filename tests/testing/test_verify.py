"""The verification: the same log from one seed, the given runs, and that it can fail."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from dsl.cli import app
from dsl.errors import NotYetSupported
from dsl.testing import TriadMessage, catalogue, verification, verify
from dsl.testing.catalogue import AREAS, CASES
from dsl.testing.protocol import Log, plain

SEED = 0x7F4A3C2B1D0E9A8F


@pytest.fixture(scope="module")
def found():
    return verify(SEED, quiet=True)


def answers(found, case):
    records = [r["payload"] for r in json.loads(found.log)]
    return next(r["answer"] for r in records if r.get("case") == case and "answer" in r)


def test_everything_that_is_there_passes(found):
    assert found and found.passed
    assert list(found.matrix()) == list(AREAS)
    assert {v.outcome for v in found.verdicts} == {"passed"}
    assert {case.area for case in CASES} == set(AREAS)


def test_the_given_runs(found):
    assert answers(found, "x^2 + 2x + 1 at 3") == {"forward": 8.0, "reverse": 8.0}
    e = answers(found, "exp(x) sin(x) with primal at 1")
    assert e["primal"] == pytest.approx(math.e * math.sin(1), rel=1e-15)
    assert e["reverse"] == pytest.approx(math.e * (math.sin(1) + math.cos(1)), rel=1e-15)
    records = [r["payload"] for r in json.loads(found.log)]
    cubic = next(r for r in records if r.get("case") == "x^3 - 2x^2 + x at a random x" and "arguments" in r)
    (x,) = cubic["arguments"]
    slope = answers(found, "x^3 - 2x^2 + x at a random x")["reverse"]
    assert slope == pytest.approx(3 * x * x - 4 * x + 1, rel=1e-13, abs=1e-14)


def test_saxpy_where_there_are_grids(found):
    """It says where: results on the simulator, or on the CPU, are not results on hardware."""
    assert found.matrix()["GPU kernel"][0] in ("CUDA", "simulator", "CPU, no GPU")
    dX = answers(found, "saxpy")["dX"]
    assert dX == [2.0] * len(dX) and len(dX) > 32


def test_the_rules_are_what_is_used(found):
    """The bodies have the derivative 0."""
    slope = answers(found, "partial derivatives")
    assert slope["forward"] == slope["reverse"] != 0.0


def test_what_is_not_available_is_no_failure(monkeypatch):
    def derive(*args):
        raise NotYetSupported("grids are not there yet", None, "wait")

    grids = [c for c in CASES if c.area == "GPU kernel"]
    cases = tuple(catalogue.Case(c.name, c.area, c.kernel, c.draw, derive, c.expect) for c in grids)
    monkeypatch.setattr(verification, "CASES", cases)
    found = verify(SEED, quiet=True)
    assert found.passed
    assert found.matrix()["GPU kernel"][1:] == ("not available", "grids are not there yet")
    assert "not available" in str(found)


def test_messages(found):
    records = json.loads(found.log)
    assert all(set(r) == {"from", "to", "payload", "seed"} for r in records)
    first = [(r["from"], r["to"]) for r in records[:4]]
    assert first == [
        ("seed provider", "kernel provider"),
        ("kernel provider", "differentiator"),
        ("differentiator", "kernel provider"),
        ("kernel provider", "seed provider"),
    ]
    assert len({r["seed"] for r in records[:4]}) == 1
    message = TriadMessage("a", "b", {"x": np.float32(0.5), "y": (np.arange(2), math.nan)}, 255)
    assert message.record() == {
        "from": "a",
        "to": "b",
        "seed": "0x00000000000000ff",
        "payload": {"x": 0.5, "y": [[0, 1], "nan"]},
    }
    assert plain(-math.inf) == "-inf"
    log = Log()
    log.send("a", "b", 1, x=1.0)
    assert json.loads(log.json())[0]["payload"] == {"x": 1.0}


def test_two_processes_write_the_same_log(tmp_path, found):
    """One of them with an empty cache."""
    import os

    logs = []
    for number in range(2):
        file = tmp_path / f"log{number}.json"
        command = [sys.executable, "-m", "dsl.cli", "verify", "--seed", hex(SEED), "--log", str(file)]
        environment = os.environ | ({"DSL_CACHE_DIR": str(tmp_path / "cache")} if number else {})
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Scalar AD" in done.stdout and "Custom rules" in done.stdout
        logs.append(file.read_bytes())
    assert logs[0] == logs[1] == found.log.encode()


def test_other_seeds_draw_other_points(found):
    other = verify(12345, quiet=True)
    assert other.passed and other.log != found.log


def test_many_seeds():
    assert all(verify(seed, quiet=True) for seed in (0, 1, 2**63, 2**64 - 1, *range(100, 120)))


def test_seeds_out_of_range():
    with pytest.raises(ValueError, match="must be from 0"):
        verify(-1)
    done = CliRunner().invoke(app, ["verify", "--seed", "many"])
    assert done.exit_code == 2


@pytest.mark.parametrize("wrong", ["sign", "error", "missing"])
def test_what_is_wrong_is_seen(monkeypatch, wrong):
    def change(case):
        if case.name != "sum of squares":
            return case

        def derive(A):
            if wrong == "error":
                raise RuntimeError("no derivative today\nand a second line")
            return {"reverse": -2 * A} if wrong == "sign" else {}

        return catalogue.Case(case.name, case.area, case.kernel, case.draw, derive, case.expect)

    monkeypatch.setattr(verification, "CASES", tuple(map(change, CASES)))
    found = verify(SEED, quiet=True)
    assert not found
    place, outcome, error = found.matrix()["Array AD"]
    assert (place, outcome) == ("CPU", "failed")
    messages = {"sign": "reverse[0]: expected", "error": "RuntimeError: no derivative today", "missing": "got None"}
    assert messages[wrong] in error and "second line" not in error
    assert found.matrix()["Scalar AD"][1] == "passed"
    assert "failed" in str(found)
    assert json.loads(found.log)[-1]["to"] == "seed provider"
    done = CliRunner().invoke(app, ["verify", "--seed", "1"])
    assert done.exit_code == 1 and "failed" in done.stdout

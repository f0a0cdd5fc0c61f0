"""The cache on disk: atomic, checked, shared between processes, bounded, and never in the way."""

import multiprocessing
import os
import warnings

import pytest

from lowering.cache import ENVIRONMENT, ObjectCache, default_directory


@pytest.fixture
def cache(tmp_path):
    return ObjectCache(tmp_path / "objects")


def test_gives_back_what_it_was_given(cache):
    assert cache.get("a") is None
    cache.put("a", {"errors": ["x"], "n": 3}, b"\0code\xff")
    assert cache.get("a") == ({"errors": ["x"], "n": 3}, b"\0code\xff")
    assert ObjectCache(cache.directory).get("a") == ({"errors": ["x"], "n": 3}, b"\0code\xff")
    cache.put("a", {}, b"newer")
    assert cache.get("a") == ({}, b"newer")
    assert cache.size()[0] == 1
    assert cache.clear() == 1 and cache.get("a") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "garbage"])
def test_damaged_entries_are_dropped(cache, damage):
    cache.put("a", {"k": 1}, b"x" * 1000)
    path = cache.path("a")
    content = bytearray(open(path, "rb").read())
    if damage == "flip":
        content[-500] ^= 1
    new = {"cut": content[:-1], "flip": content, "empty": b"", "garbage": os.urandom(2000), "other": None}[damage]
    if new is None:
        cache.put("b", {}, b"other")
        os.replace(cache.path("b"), path)
    else:
        with open(path, "wb") as file:
            file.write(new)
    assert cache.get("a") is None
    assert not os.path.exists(path)
    cache.put("a", {"k": 2}, b"y")
    assert cache.get("a") == ({"k": 2}, b"y")


def test_a_directory_that_can_not_be_written_is_told_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    cache = ObjectCache(file / "below")
    with pytest.warns(RuntimeWarning, match=ENVIRONMENT):
        cache.put("a", {}, b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("b", {}, b"x")
        assert cache.get("a") is None
        assert cache.size() == (0, 0) and cache.clear() == 0


def test_size_is_bounded_oldest_first(tmp_path):
    cache = ObjectCache(tmp_path, limit=10_000)
    for k in range(20):
        cache.put(f"k{k}", {}, bytes(1000))
        os.utime(cache.path(f"k{k}"), (1000 + k, 1000 + k))
    assert cache.get("k3") is not None  # used: young again
    cache.shrink()
    assert cache.size()[1] <= 10_000
    assert cache.get("k3") is not None and cache.get("k19") is not None
    assert cache.get("k0") is None and cache.get("k10") is None


def test_directory(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "here"))
    assert default_directory() == str(tmp_path / "here")
    monkeypatch.delenv(ENVIRONMENT)
    assert "diffdsl" in default_directory()


def _hammer(directory, seed, wrong):
    """Writes, reads and now and then damages shared entries; every entry that is read must be whole."""
    cache = ObjectCache(directory, limit=40_000)
    for k in range(150):
        key = f"k{(seed + k) % 7}"
        found = cache.get(key)
        if found is not None and (found[0]["key"] != key or found[1] != key.encode() * found[0]["n"]):
            wrong.value += 1
        n = 1 + (k * 37 + seed) % 2000
        cache.put(key, {"key": key, "n": n}, key.encode() * n)
        if k % 40 == 39:
            try:
                with open(cache.path(key), "r+b") as file:
                    file.write(b"damage")
            except OSError:
                pass
            cache.shrink()


def test_many_processes(tmp_path):
    context = multiprocessing.get_context("spawn")
    wrong = context.Value("i", 0)
    processes = [context.Process(target=_hammer, args=(str(tmp_path), seed, wrong)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert wrong.value == 0
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]

"""Enzyme as pip installs it, `enzyme-ad`: C++ functions called from JAX, differentiated in LLVM. Its compiler brings no
headers of its own, hence the builtins."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from enzyme_ad.jax import cpp_call

from benchmarks.peers.exchange import Prepared, flat

jax.config.update("jax_enable_x64", True)
VERSION = version("enzyme-ad")

FLAGS = ("-O3", "-ffast-math")


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    source, unknowns, constants = globals()[objective](data)

    def value(*arguments: Any) -> Any:
        (out,) = cpp_call(
            *arguments, *constants, out_shapes=[jax.core.ShapedArray([1], jnp.float64)], source=source, argv=FLAGS
        )
        return out[0]

    primal, derivative = jax.jit(value), jax.jit(jax.grad(value, argnums=tuple(range(len(unknowns)))))
    arguments = [jnp.asarray(u) for u in unknowns]
    wait = jax.block_until_ready
    return Prepared(
        lambda: wait(primal(*arguments)), lambda: wait(derivative(*arguments)), lambda result: flat(*result)
    )


Program = tuple[str, list[Any], list[Any]]


def waves(data: dict[str, Any]) -> Program:
    source = """
    template <std::size_t n> void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &a) {
        double total = 0.0;
        for (std::size_t i = 0; i < n; i++) total += __builtin_sin(a[i]) * __builtin_exp(-a[i] * a[i]);
        out[0] = total;
    }
    """
    return source, [data["a"]], []


def nbody(data: dict[str, Any]) -> Program:
    source = """
    template <std::size_t n>
    void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &x, const enzyme::tensor<double, n> &y,
           const enzyme::tensor<double, n> &z, const enzyme::tensor<double, n> &mass) {
        double total = 0.0;
        for (std::size_t i = 0; i < n; i++)
            for (std::size_t j = 0; j < i; j++) {
                const double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
                total -= mass[i] * mass[j] / __builtin_sqrt(dx * dx + dy * dy + dz * dz + 1e-3);
            }
        out[0] = total;
    }
    """
    return source, list(data["positions"]), [jnp.asarray(data["mass"])]


def lorenz(data: dict[str, Any]) -> Program:
    source = """
    struct V3 { double x, y, z; };
    static V3 add(V3 a, double s, V3 b) { return {a.x + s * b.x, a.y + s * b.y, a.z + s * b.z}; }
    template <std::size_t n, std::size_t k>
    void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &start, const enzyme::tensor<double, k> &p) {
        auto slope = [&](V3 v) { return V3{p[0] * (v.y - v.x), v.x * (p[1] - v.z) - v.y, v.x * v.y - p[2] * v.z}; };
        V3 v{start[0], start[1], start[2]};
        for (long i = 0; i < STEPS; i++) {
            const V3 a = slope(v), b = slope(add(v, 0.5 * DT, a)), c = slope(add(v, 0.5 * DT, b));
            const V3 e = slope(add(v, DT, c));
            v = add(add(v, DT / 6.0, a), DT / 3.0, b);
            v = add(add(v, DT / 3.0, c), DT / 6.0, e);
        }
        out[0] = v.x + v.y + v.z;
    }
    """
    source = source.replace("STEPS", str(data["steps"])).replace("DT", repr(float(data["dt"])))
    return source, [np.asarray(data["start"]), np.asarray(data["parameters"])], []


def lse(data: dict[str, Any]) -> Program:
    source = """
    template <std::size_t n> void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &x) {
        double top = x[0], total = 0.0;
        for (std::size_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
        for (std::size_t i = 0; i < n; i++) total += __builtin_exp(x[i] - top);
        out[0] = top + __builtin_log(total);
    }
    """
    return source, [data["x"]], []


def inplace(data: dict[str, Any]) -> Program:
    source = """
    static double *take(std::size_t n) { return (double *)__builtin_malloc(n * sizeof(double)); }
    template <std::size_t n> void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &start) {
        double *x = take(n), total = 0.0;
        for (std::size_t i = 0; i < n; i++) x[i] = start[i];
        for (int k = 0; k < 10; k++)
            for (std::size_t i = 0; i < n; i++) x[i] = __builtin_sin(x[i]) * x[i];
        for (std::size_t i = 0; i < n; i++) total += x[i];
        __builtin_free(x);
        out[0] = total;
    }
    """
    return source, [data["start"]], []


def newton(data: dict[str, Any]) -> Program:
    source = """
    template <std::size_t n> void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &x) {
        double total = 0.0;
        for (std::size_t i = 0; i < n; i++) {
            double y = 0.0, r = 1.0 - x[i];
            while (__builtin_fabs(r) >= 1e-12) {
                y -= r / (1.0 + __builtin_exp(y));
                r = y + __builtin_exp(y) - x[i];
            }
            total += y;
        }
        out[0] = total;
    }
    """
    return source, [data["x"]], []


def ode(data: dict[str, Any]) -> Program:
    source = """
    static double *take(std::size_t n) { return (double *)__builtin_malloc(n * sizeof(double)); }
    template <std::size_t n> void slope(const enzyme::tensor<double, n> &x, const double *y, double *k) {
        k[0] = x[0];
        for (std::size_t i = 1; i < n; i++) k[i] = x[i] * y[i - 1];
    }
    template <std::size_t n> void f(enzyme::tensor<double, 1> &out, const enzyme::tensor<double, n> &x) {
        double *y = take(n), *k1 = take(n), *k2 = take(n), *k3 = take(n), *k4 = take(n);
        double *at = take(n);
        const double h = 2.0 / STEPS;
        for (std::size_t i = 0; i < n; i++) y[i] = 0.0;
        for (int s = 0; s < STEPS; s++) {
            slope(x, y, k1);
            for (std::size_t i = 0; i < n; i++) at[i] = y[i] + 0.5 * h * k1[i];
            slope(x, at, k2);
            for (std::size_t i = 0; i < n; i++) at[i] = y[i] + 0.5 * h * k2[i];
            slope(x, at, k3);
            for (std::size_t i = 0; i < n; i++) at[i] = y[i] + h * k3[i];
            slope(x, at, k4);
            for (std::size_t i = 0; i < n; i++) y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        }
        out[0] = y[n - 1];
        __builtin_free(y), __builtin_free(k1), __builtin_free(k2), __builtin_free(k3), __builtin_free(k4);
        __builtin_free(at);
    }
    """
    return source.replace("STEPS", str(data["s"])), [data["x"]], []

"""Random numbers from a key and a counter: the same bits on every machine, in Python and in kernels.

    key = dsl.random.seed(42)
    dsl.random.uniform(key, 0), dsl.random.uniform(key, 1), ...

The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with
the golden gamma: number n of a key is what SplitMix64 seeded with that key gives at its (n+1)th call. Since each number
is a function of key and counter alone, threads and loop iterations need no common state. Kernels may call all
functions here; called from Python they run compiled. Only `SplitMix64` is plain Python.

Keys and bits carry no derivative, so a gradient passes beside them: by mu of `mu + sigma * normal(key, n)` it is 1, by
sigma it is the number drawn.
"""

from __future__ import annotations

import numpy as np

from .functions import fma
from .kernel import kernel

GAMMA = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, odd
_MASK = 0xFFFFFFFFFFFFFFFF


def seed(n):
    """The key for an integer from 0 to 2**64 - 1: the same number as a uint64."""
    return np.uint64(n)


@kernel
def mix(z):
    """Stafford's mix 13 of a uint64, the output function of SplitMix64: a bijection that mixes all bits."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)


@kernel
def bits(key, counter):
    """64 random bits, a uint64. `key` is a uint64, `counter` an integer of 0 or more; so for all functions here."""
    return mix(np.uint64(key) + np.uint64(counter + 1) * np.uint64(GAMMA))


@kernel
def split(key, n):
    """The nth child of a key, a key of its own.

    It is MurmurHash3's finaliser of what `bits` makes its number of: another bijection than that of `bits`, so that no
    child is a number of its parent's. Of m children of which each gives l numbers, the chance that any two overlap is
    about m * m * l / 2**64.
    """
    z = np.uint64(key) + np.uint64(n + 1) * np.uint64(GAMMA)
    z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCD
    z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53
    return z ^ (z >> 33)


@kernel
def uniform(key, counter):
    """A float64 in [0, 1): one of the 2**53 multiples of 2**-53, all equally likely."""
    return (bits(key, counter) >> 11) * 2.0**-53


@kernel
def uniform32(key, counter):
    """A float32 in [0, 1): one of the 2**24 multiples of 2**-24, all equally likely."""
    return np.float32(bits(key, counter) >> 40) * np.float32(2.0**-24)


@kernel
def normal(key, counter):
    """A float64 from the standard normal distribution, between -8.3 and 8.3.

    The inverse of the distribution function at (k + 1/2) / 2**53, by Wichura's AS 241 ("The percentage points of the
    normal distribution", Applied Statistics 37, 1988), which is good to about 1e-16. It is computed with nothing but
    sums, products, quotients, square roots and fused operations, each rounded as IEEE 754 says: the same bits
    everywhere, unless a kernel is compiled with `fastmath`.
    """
    u = bits(key, counter)
    odd = ((u >> 11) & 0xFFFFFFFFFFFFF) * np.uint64(2) + np.uint64(1)  # the tail is odd / 2**54, less than a half
    q = 0.5 - odd * 2.0**-54
    if q <= 0.425:
        z = _near_the_middle(q)
    else:
        z = _far_out(np.sqrt(_minus_log(odd)))
    return -z if (u >> 63) != 0 else z


@kernel
def _near_the_middle(q):
    r = fma(-q, q, 0.180625)
    n = fma(2.5090809287301226727e3, r, 3.3430575583588128105e4)
    n = fma(n, r, 6.7265770927008700853e4)
    n = fma(n, r, 4.5921953931549871457e4)
    n = fma(n, r, 1.3731693765509461125e4)
    n = fma(n, r, 1.9715909503065514427e3)
    n = fma(n, r, 1.3314166789178437745e2)
    n = fma(n, r, 3.3871328727963666080e0)
    d = fma(5.2264952788528545610e3, r, 2.8729085735721942674e4)
    d = fma(d, r, 3.9307895800092710610e4)
    d = fma(d, r, 2.1213794301586595867e4)
    d = fma(d, r, 5.3941960214247511077e3)
    d = fma(d, r, 6.8718700749205790830e2)
    d = fma(d, r, 4.2313330701600911252e1)
    d = fma(d, r, 1.0)
    return q * n / d


@kernel
def _far_out(s):
    if s <= 5.0:
        r = s - 1.6
        n = fma(7.74545014278341407640e-4, r, 2.27238449892691845833e-2)
        n = fma(n, r, 2.41780725177450611770e-1)
        n = fma(n, r, 1.27045825245236838258e0)
        n = fma(n, r, 3.64784832476320460504e0)
        n = fma(n, r, 5.76949722146069140550e0)
        n = fma(n, r, 4.63033784615654529590e0)
        n = fma(n, r, 1.42343711074968357734e0)
        d = fma(1.05075007164441684324e-9, r, 5.47593808499534494600e-4)
        d = fma(d, r, 1.51986665636164571966e-2)
        d = fma(d, r, 1.48103976427480074590e-1)
        d = fma(d, r, 6.89767334985100004550e-1)
        d = fma(d, r, 1.67638483018380384940e0)
        d = fma(d, r, 2.05319162663775882187e0)
        d = fma(d, r, 1.0)
    else:
        r = s - 5.0
        n = fma(2.01033439929228813265e-7, r, 2.71155556874348757815e-5)
        n = fma(n, r, 1.24266094738807843860e-3)
        n = fma(n, r, 2.65321895265761230930e-2)
        n = fma(n, r, 2.96560571828504891230e-1)
        n = fma(n, r, 1.78482653991729133580e0)
        n = fma(n, r, 5.46378491116411436990e0)
        n = fma(n, r, 6.65790464350110377720e0)
        d = fma(2.04426310338993978564e-15, r, 1.42151175831644588870e-7)
        d = fma(d, r, 1.84631831751005468180e-5)
        d = fma(d, r, 7.86869131145613259100e-4)
        d = fma(d, r, 1.48753612908506148525e-2)
        d = fma(d, r, 1.36929880922735805310e-1)
        d = fma(d, r, 5.99832206555887937690e-1)
        d = fma(d, r, 1.0)
    return n / d


@kernel
def _minus_log(odd):
    """-log(odd / 2**54): libraries differ in the last place of their logarithms.

    By log(x) = 2 artanh(s), s = (x - 1) / (x + 1), of x between the square roots of 1/2 and 2.
    """
    k = odd
    e = 1
    if k < 0x200000:
        k, e = k << 32, e + 32
    if k < 0x2000000000:
        k, e = k << 16, e + 16
    if k < 0x200000000000:
        k, e = k << 8, e + 8
    if k < 0x2000000000000:
        k, e = k << 4, e + 4
    if k < 0x8000000000000:
        k, e = k << 2, e + 2
    if k < 0x10000000000000:
        k, e = k << 1, e + 1
    x = k * 2.0**-53
    if x < 0.7071067811865476:
        x, e = 2.0 * x, e + 1
    s = (x - 1.0) / (x + 1.0)
    t = s * s
    w = fma(1.0 / 21.0, t, 1.0 / 19.0)
    w = fma(w, t, 1.0 / 17.0)
    w = fma(w, t, 1.0 / 15.0)
    w = fma(w, t, 1.0 / 13.0)
    w = fma(w, t, 1.0 / 11.0)
    w = fma(w, t, 1.0 / 9.0)
    w = fma(w, t, 1.0 / 7.0)
    w = fma(w, t, 1.0 / 5.0)
    w = fma(w, t, 1.0 / 3.0)
    w = fma(w, t, 1.0)
    return fma(e * 1.0, 0.6931471805599453, -2.0 * s * w)


class SplitMix64:
    """The same generator with a state, in plain Python: nothing is compiled.

    >>> import dsl
    >>> stream = dsl.random.SplitMix64(1234567)
    >>> stream.bits(), stream.bits()
    (6457827717110365317, 3203168211198807973)
    """

    def __init__(self, seed: int) -> None:
        self.key = seed & _MASK
        self.counter = 0

    def bits(self) -> int:
        """The next 64 bits: `bits(key, counter)`."""
        self.counter += 1
        z = (self.key + self.counter * GAMMA) & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        return z ^ (z >> 31)

    def uniform(self) -> float:
        """The next number in [0, 1): `uniform(key, counter)`."""
        return (self.bits() >> 11) * 2.0**-53

    def split(self, n: int = 0) -> SplitMix64:
        """A stream of its own for the nth child: that of the key `split(key, n)`. This one stays where it is."""
        z = (self.key + (n + 1) * GAMMA) & _MASK
        z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCD & _MASK
        z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53 & _MASK
        return SplitMix64(z ^ (z >> 33))

// Primals and derivatives written by hand: what a program for one objective only can reach with this compiler.
// Each derivative overwrites its gradient. Arrays do not overlap.
#include <algorithm>
#include <cmath>
#include <vector>

#define API extern "C"
#define R __restrict__

// --- sums over one array -------------------------------------------------------------------------------------------
API double waves(long n, const double *R a) {
    double total = 0.0;
    for (long i = 0; i < n; i++) total += std::sin(a[i]) * std::exp(-a[i] * a[i]);
    return total;
}

API void waves_gradient(long n, const double *R a, double *R g) {
    // Sines and cosines apart: this compiler does not vectorise the two of one number.
    for (long begin = 0; begin < n; begin += 256) {
        double sine[256];
        const long count = std::min(256L, n - begin);
        const double *R b = a + begin;
        for (long i = 0; i < count; i++) sine[i] = std::sin(b[i]);
        for (long i = 0; i < count; i++) g[begin + i] = (std::cos(b[i]) - 2.0 * b[i] * sine[i]) * std::exp(-b[i] * b[i]);
    }
}

API double lse(long n, const double *R x) {
    double top = x[0], total = 0.0;
    for (long i = 1; i < n; i++) top = std::max(top, x[i]);
    for (long i = 0; i < n; i++) total += std::exp(x[i] - top);
    return top + std::log(total);
}

API void lse_gradient(long n, const double *R x, double *R g) {
    double top = x[0], total = 0.0;
    for (long i = 1; i < n; i++) top = std::max(top, x[i]);
    for (long i = 0; i < n; i++) total += g[i] = std::exp(x[i] - top);
    const double scale = 1.0 / total;
    for (long i = 0; i < n; i++) g[i] *= scale;
}

API double inplace(long n, const double *R start) {
    double total = 0.0;
    for (long begin = 0; begin < n; begin += 256) {
        double x[256];
        const long count = std::min(256L, n - begin);
        std::copy_n(start + begin, count, x);
        for (int k = 0; k < 10; k++)
            for (long i = 0; i < count; i++) x[i] *= std::sin(x[i]);
        for (long i = 0; i < count; i++) total += x[i];
    }
    return total;
}

API void inplace_gradient(long n, const double *R start, double *R g) {
    for (long begin = 0; begin < n; begin += 256) {
        double x[256], sine[256];
        const long count = std::min(256L, n - begin);
        std::copy_n(start + begin, count, x);
        std::fill_n(g + begin, count, 1.0);
        for (int k = 0; k < 10; k++) {
            for (long i = 0; i < count; i++) sine[i] = std::sin(x[i]);
            for (long i = 0; i < count; i++) g[begin + i] *= std::cos(x[i]) * x[i] + sine[i];
            for (long i = 0; i < count; i++) x[i] *= sine[i];
        }
    }
}

static double solution(double x) {
    double y = 0.0, r = 1.0 - x;
    while (std::fabs(r) >= 1e-12) {
        y -= r / (1.0 + std::exp(y));
        r = y + std::exp(y) - x;
    }
    return y;
}

API double newton(long n, const double *R x) {
    double total = 0.0;
    for (long i = 0; i < n; i++) total += solution(x[i]);
    return total;
}

API void newton_gradient(long n, const double *R x, double *R g) {
    for (long i = 0; i < n; i++) g[i] = 1.0 / (1.0 + std::exp(solution(x[i])));
}

// --- llsq: the points, W at a time -------------------------------------------------------------------------------
template <bool GRADIENT> static double fit(long m, long n, const double *R x, double *R g) {
    const int W = 16;
    double total = 0.0;
    std::vector<double> lanes(GRADIENT ? m * W : 0, 0.0);
    for (long begin = 0; begin < n; begin += W) {
        double t[W], r[W], power[W];
        for (int w = 0; w < W; w++) {
            t[w] = -1.0 + 2.0 * (begin + w) / (n - 1);
            const bool inside = begin + w < n;
            r[w] = !inside ? 0.0 : t[w] > 0.0 ? 1.0 : t[w] < 0.0 ? -1.0 : 0.0;
            power[w] = inside;
        }
        for (long j = 0; j < m; j++)
            for (int w = 0; w < W; w++) r[w] -= x[j] * power[w], power[w] *= t[w];
        for (int w = 0; w < W; w++) total += r[w] * r[w];
        if (GRADIENT)
            for (long j = 0; j < m; j++)
                for (int w = 0; w < W; w++) lanes[j * W + w] -= r[w], r[w] *= t[w];
    }
    if (GRADIENT)
        for (long j = 0; j < m; j++) {
            g[j] = 0.0;
            for (int w = 0; w < W; w++) g[j] += lanes[j * W + w];
        }
    return 0.5 * total;
}

API double llsq(long m, long n, const double *x) { return fit<false>(m, n, x, nullptr); }
API void llsq_gradient(long m, long n, const double *x, double *g) { fit<true>(m, n, x, g); }

// --- n-body -----------------------------------------------------------------------------------------------------------
API double nbody(long n, const double *R x, const double *R y, const double *R z, const double *R mass) {
    double total = 0.0;
    for (long i = 0; i < n; i++) {
        double sum = 0.0;
        for (long j = 0; j < i; j++) {
            const double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
            sum += mass[j] / std::sqrt(dx * dx + dy * dy + dz * dz + 1e-3);
        }
        total -= mass[i] * sum;
    }
    return total;
}

API void nbody_gradient(long n, const double *R x, const double *R y, const double *R z, const double *R mass,
                        double *R gx, double *R gy, double *R gz) {
    std::fill_n(gx, n, 0.0), std::fill_n(gy, n, 0.0), std::fill_n(gz, n, 0.0);
    for (long i = 0; i < n; i++) {
        double sx = 0.0, sy = 0.0, sz = 0.0;
        for (long j = 0; j < i; j++) {
            const double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
            const double square = dx * dx + dy * dy + dz * dz + 1e-3;
            const double f = mass[i] * mass[j] / (square * std::sqrt(square));
            sx += f * dx, sy += f * dy, sz += f * dz;
            gx[j] -= f * dx, gy[j] -= f * dy, gz[j] -= f * dz;
        }
        gx[i] += sx, gy[i] += sy, gz[i] += sz;
    }
}

// --- stencil: all states kept ------------------------------------------------------------------------------------------
static void step(long n, const double *R u, double *R v) {
    v[0] = u[0], v[n - 1] = u[n - 1];
    for (long i = 1; i < n - 1; i++) {
        const double bend = u[i - 1] - 2.0 * u[i] + u[i + 1], rise = 0.5 * (u[i + 1] - u[i - 1]);
        v[i] = u[i] + 0.2 * (1.0 + 0.1 * u[i] * u[i]) * bend - 0.1 * u[i] * rise;
    }
}

static std::vector<double> states, weights;  // kept from call to call: fresh pages would cost half the time

API double stencil(long n, long steps, const double *R start) {
    states.resize(std::max<size_t>(states.size(), 2 * n));
    std::copy_n(start, n, states.data());
    for (long k = 0; k < steps; k++) step(n, &states[(k % 2) * n], &states[((k + 1) % 2) * n]);
    double total = 0.0;
    const double *u = &states[(steps % 2) * n];
    for (long i = 0; i < n; i++) total += u[i] * u[i];
    return total;
}

static void step_back(long n, const double *R u, const double *R w, double *R g) {
    // Cell i collects from its neighbours' updates: no cell is written twice. At least five cells.
    // The shares of cell i's update by u[i + 1] and by u[i - 1].
    auto ahead = [&](long i) { return w[i] * (0.2 * (1.0 + 0.1 * u[i] * u[i]) - 0.05 * u[i]); };
    auto behind = [&](long i) { return w[i] * (0.2 * (1.0 + 0.1 * u[i] * u[i]) + 0.05 * u[i]); };
    auto own = [&](long i) {
        const double bend = u[i - 1] - 2.0 * u[i] + u[i + 1], rise = 0.5 * (u[i + 1] - u[i - 1]);
        return w[i] * (1.0 + 0.04 * u[i] * bend - 0.4 * (1.0 + 0.1 * u[i] * u[i]) - 0.1 * rise);
    };
    g[0] = w[0] + behind(1);
    g[n - 1] = w[n - 1] + ahead(n - 2);
    g[1] = own(1) + behind(2);
    g[n - 2] = own(n - 2) + ahead(n - 3);
    for (long i = 2; i < n - 2; i++) g[i] = own(i) + ahead(i - 1) + behind(i + 1);
}

API void stencil_gradient(long n, long steps, const double *R start, double *R g) {
    states.resize(std::max<size_t>(states.size(), (steps + 1) * n));
    weights.resize(n);
    std::copy_n(start, n, states.data());
    for (long k = 0; k < steps; k++) step(n, &states[k * n], &states[(k + 1) * n]);
    for (long i = 0; i < n; i++) g[i] = 2.0 * states[steps * n + i];
    for (long k = steps - 1; k >= 0; k--) {
        std::copy_n(g, n, weights.data());
        step_back(n, &states[k * n], weights.data(), g);
    }
}

// --- Lorenz -----------------------------------------------------------------------------------------------------------
struct V3 { double x, y, z; };
static V3 operator+(V3 a, V3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
static V3 operator*(double s, V3 a) { return {s * a.x, s * a.y, s * a.z}; }
struct Lorenz {
    double sigma, rho, beta;
    V3 slope(V3 v) const { return {sigma * (v.y - v.x), v.x * (rho - v.z) - v.y, v.x * v.y - beta * v.z}; }
    // The cotangent of v for one of the slope; adds to the parameters' own.
    V3 back(V3 v, V3 w, Lorenz &g) const {
        g.sigma += w.x * (v.y - v.x), g.rho += w.y * v.x, g.beta -= w.z * v.z;
        return {-sigma * w.x + (rho - v.z) * w.y + v.y * w.z, sigma * w.x - w.y + v.x * w.z, -v.x * w.y - beta * w.z};
    }
};

API double lorenz(long steps, double dt, const double *R start, const double *R parameters) {
    V3 v{start[0], start[1], start[2]};
    const Lorenz p{parameters[0], parameters[1], parameters[2]};
    for (long k = 0; k < steps; k++) {
        const V3 a = p.slope(v), b = p.slope(v + 0.5 * dt * a), c = p.slope(v + 0.5 * dt * b), e = p.slope(v + dt * c);
        v = v + dt / 6.0 * (a + 2.0 * b + 2.0 * c + e);
    }
    return v.x + v.y + v.z;
}

API void lorenz_gradient(long steps, double dt, const double *R start, const double *R parameters, double *R g) {
    static std::vector<V3> tape;
    tape.resize(steps);
    V3 v{start[0], start[1], start[2]}, w{1.0, 1.0, 1.0};
    const Lorenz p{parameters[0], parameters[1], parameters[2]};
    Lorenz d{0.0, 0.0, 0.0};
    for (long k = 0; k < steps; k++) {
        tape[k] = v;
        const V3 a = p.slope(v), b = p.slope(v + 0.5 * dt * a), c = p.slope(v + 0.5 * dt * b), e = p.slope(v + dt * c);
        v = v + dt / 6.0 * (a + 2.0 * b + 2.0 * c + e);
    }
    for (long k = steps - 1; k >= 0; k--) {
        const V3 v1 = tape[k], v2 = v1 + 0.5 * dt * p.slope(v1), v3 = v1 + 0.5 * dt * p.slope(v2);
        const V3 v4 = v1 + dt * p.slope(v3);
        const V3 w4 = p.back(v4, dt / 6.0 * w, d);
        const V3 w3 = p.back(v3, dt / 3.0 * w + dt * w4, d);
        const V3 w2 = p.back(v2, dt / 3.0 * w + 0.5 * dt * w3, d);
        const V3 w1 = p.back(v1, dt / 6.0 * w + 0.5 * dt * w2, d);
        w = w + w1 + w2 + w3 + w4;
    }
    const double found[6] = {w.x, w.y, w.z, d.sigma, d.rho, d.beta};
    std::copy_n(found, 6, g);
}

// --- ode: y at each step kept, the stages computed again -----------------------------------------------------------------
struct Stages {
    std::vector<double> k, y2, y3, y4, w1, w2, w3, w4, w;
    void resize(long n) { for (auto *v : {&k, &y2, &y3, &y4, &w1, &w2, &w3, &w4, &w}) v->resize(n); }
};
static Stages stage;

static void slope(long n, const double *R x, const double *R y, double *R k) {
    k[0] = x[0];
    for (long i = 1; i < n; i++) k[i] = x[i] * y[i - 1];
}

static void moved(long n, const double *R y, double h, const double *R k, double *R out) {
    for (long i = 0; i < n; i++) out[i] = y[i] + h * k[i];
}

static void stages_of(long n, const double *x, const double *y, double h, double *next) {
    slope(n, x, y, stage.k.data());
    moved(n, y, 0.5 * h, stage.k.data(), stage.y2.data());
    for (long i = 0; i < n && next; i++) next[i] = y[i] + h / 6.0 * stage.k[i];
    slope(n, x, stage.y2.data(), stage.k.data());
    moved(n, y, 0.5 * h, stage.k.data(), stage.y3.data());
    for (long i = 0; i < n && next; i++) next[i] += h / 3.0 * stage.k[i];
    slope(n, x, stage.y3.data(), stage.k.data());
    moved(n, y, h, stage.k.data(), stage.y4.data());
    if (!next) return;
    for (long i = 0; i < n; i++) next[i] += h / 3.0 * stage.k[i];
    slope(n, x, stage.y4.data(), stage.k.data());
    for (long i = 0; i < n; i++) next[i] += h / 6.0 * stage.k[i];
}

API void ode(long n, long steps, const double *R x, double *R y) {
    stage.resize(n);
    states.resize(std::max<size_t>(states.size(), 2 * n));
    std::fill_n(states.data(), n, 0.0);
    for (long s = 0; s < steps; s++) stages_of(n, x, &states[(s % 2) * n], 2.0 / steps, &states[((s + 1) % 2) * n]);
    std::copy_n(&states[(steps % 2) * n], n, y);
}

// The cotangent of y for one of the slope, which is `scale` w + `more` previous.
static void slope_back(long n, const double *R x, const double *R y, double scale, const double *R w, double more,
                       const double *R previous, double *R g, double *R out) {
    auto k = [&](long i) { return scale * w[i] + more * previous[i]; };
    g[0] += k(0);
    for (long i = 1; i < n; i++) g[i] += k(i) * y[i - 1], out[i - 1] = x[i] * k(i);
    out[n - 1] = 0.0;
}

API void ode_gradient(long n, long steps, const double *R x, double *R g) {
    const double h = 2.0 / steps;
    stage.resize(n);
    states.resize(std::max<size_t>(states.size(), (steps + 1) * n));
    std::fill_n(states.data(), n, 0.0);
    for (long s = 0; s < steps; s++) stages_of(n, x, &states[s * n], h, &states[(s + 1) * n]);
    std::fill_n(g, n, 0.0);
    double *w = stage.w.data();
    std::fill_n(w, n, 0.0);
    w[n - 1] = 1.0;
    for (long s = steps - 1; s >= 0; s--) {
        const double *y = &states[s * n];
        stages_of(n, x, y, h, nullptr);
        slope_back(n, x, stage.y4.data(), h / 6.0, w, 0.0, w, g, stage.w4.data());
        slope_back(n, x, stage.y3.data(), h / 3.0, w, h, stage.w4.data(), g, stage.w3.data());
        slope_back(n, x, stage.y2.data(), h / 3.0, w, 0.5 * h, stage.w3.data(), g, stage.w2.data());
        slope_back(n, x, y, h / 6.0, w, 0.5 * h, stage.w2.data(), g, stage.w1.data());
        for (long i = 0; i < n; i++) w[i] += stage.w1[i] + stage.w2[i] + stage.w3[i] + stage.w4[i];
    }
}

// --- kmeans -----------------------------------------------------------------------------------------------------------
// centroids by columns, so that the distances to all of them are one vector
static double nearest(long k, long d, const double *R columns, const double *R point, double *R square, long &at) {
    std::fill_n(square, k, 0.0);
    for (long c = 0; c < d; c++)
        for (long j = 0; j < k; j++) {
            const double t = columns[c * k + j] - point[c];
            square[j] += t * t;
        }
    double best = square[0];
    for (long j = 1; j < k; j++) best = std::min(best, square[j]);
    for (at = 0; square[at] != best; at++) {}
    return best;
}

static std::vector<double> by_columns(long k, long d, const double *centroids) {
    std::vector<double> columns(k * d);
    for (long j = 0; j < k; j++)
        for (long c = 0; c < d; c++) columns[c * k + j] = centroids[j * d + c];
    return columns;
}

API double kmeans(long k, long n, long d, const double *centroids, const double *points) {
    const auto columns = by_columns(k, d, centroids);
    std::vector<double> square(k);
    double total = 0.0;
    long at;
    for (long i = 0; i < n; i++) total += nearest(k, d, columns.data(), points + i * d, square.data(), at);
    return total;
}

API void kmeans_direction(long k, long n, long d, const double *centroids, const double *points, double *g) {
    const auto columns = by_columns(k, d, centroids);
    std::vector<double> square(k), members(k, 0.0);
    std::fill_n(g, k * d, 0.0);
    for (long i = 0; i < n; i++) {
        long at;
        nearest(k, d, columns.data(), points + i * d, square.data(), at);
        members[at] += 1.0;
        for (long c = 0; c < d; c++) g[at * d + c] += centroids[at * d + c] - points[i * d + c];
    }
    for (long j = 0; j < k; j++)
        for (long c = 0; c < d; c++) g[j * d + c] /= members[j];
}

// --- gmm: blocks of points, whose sums stay in registers -------------------------------------------------------------
#ifdef __AVX512F__
const long W = 8;
#else
const long W = 4;
#endif
typedef double V __attribute__((vector_size(8 * W)));
const long P = 64, N = P / W, T = 4;  // points in a block, vectors of them, rows in a tile

static double sum_of(V v) {
    double total = 0.0;
    for (long w = 0; w < W; w++) total += v[w];
    return total;
}

// out[r] = sum over c of m(r, c) in[c], for rows of vectors; m is zero where c is not in [from(tile), to(tile)).
template <class M, class From, class To> static void product(long rows, M m, From from, To to, const V *R in, V *R out) {
    for (long r = 0; r < rows; r += T)
        for (long v = 0; v < N; v += 2) {
            V sum[T][2] = {};
            for (long c = from(r); c < to(r); c++)
                for (long t = 0; t < T; t++) {
                    const double f = m(r + t, c);
                    sum[t][0] += f * in[c * N + v], sum[t][1] += f * in[c * N + v + 1];
                }
            for (long t = 0; t < T; t++) out[(r + t) * N + v] = sum[t][0], out[(r + t) * N + v + 1] = sum[t][1];
        }
}

template <bool GRADIENT>
static double mixture(long d, long k, long n, const double *R alpha, const double *R mu, const double *R q,
                      const double *R l, const double *R x, double gamma, long m, double *R g) {
    const long below = d * (d - 1) / 2, D = (d + T - 1) / T * T;  // rows of zeros fill the last tile
    double *g_alpha = g, *g_mu = g + k, *g_q = g_mu + k * d, *g_l = g_q + k * d;
    std::vector<double> matrix(k * D * D, 0.0), slope(GRADIENT ? k * D * D : 0, 0.0), sum_q(k, 0.0), members(k, 0.0);
    std::vector<double> d_mu(k * D, 0.0);
    for (long c = 0; c < k; c++)
        for (long j = 0, at = c * below; j < d; j++) {
            matrix[(c * D + j) * D + j] = std::exp(q[c * d + j]), sum_q[c] += q[c * d + j];
            for (long r = j + 1; r < d; r++, at++) matrix[(c * D + r) * D + j] = l[at];
        }
    std::vector<V> points(D * N), centred(D * N), image((GRADIENT ? k : 1) * D * N), beta(k * N), back(D * N);
    std::fill(centred.begin(), centred.end(), V{}), std::fill(points.begin(), points.end(), V{});
    double total = 0.0;
    for (long begin = 0; begin < n; begin += P) {
        const long count = std::min(P, n - begin);
        for (long r = 0; r < d; r++)
            for (long p = 0; p < P; p++) points[r * N + p / W][p % W] = x[(begin + std::min(p, count - 1)) * d + r];
        for (long c = 0; c < k; c++) {
            const double *R M = &matrix[c * D * D];
            V *R z = &image[(GRADIENT ? c : 0) * D * N];
            for (long r = 0; r < d; r++)
                for (long v = 0; v < N; v++) centred[r * N + v] = points[r * N + v] - mu[c * d + r];
            product(D, [&](long r, long j) { return M[r * D + j]; }, [](long) { return 0L; },
                    [&](long r) { return std::min(r + T, d); }, centred.data(), z);
            for (long v = 0; v < N; v++) {
                V square = {};
                for (long r = 0; r < d; r++) square += z[r * N + v] * z[r * N + v];
                beta[c * N + v] = alpha[c] + sum_q[c] - 0.5 * square;
            }
        }
        // beta becomes the weights; its numbers are read as an array of doubles, which vectors may be.
        double *R b = reinterpret_cast<double *>(beta.data()), top[P], sum[P] = {};
        std::copy_n(b, P, top);
        for (long c = 1; c < k; c++)
            for (long p = 0; p < P; p++) top[p] = std::max(top[p], b[c * P + p]);
        for (long c = 0; c < k; c++)
            for (long p = 0; p < P; p++) sum[p] += b[c * P + p] = std::exp(b[c * P + p] - top[p]);
        for (long p = 0; p < count; p++) total += top[p] + std::log(sum[p]);
        if (!GRADIENT) continue;
        for (long c = 0; c < k; c++) {
            for (long p = 0; p < P; p++) b[c * P + p] = p < count ? b[c * P + p] / sum[p] : 0.0;
            const double *R M = &matrix[c * D * D];
            double *R S = &slope[c * D * D];
            V *R z = &image[c * D * N], all = {};
            for (long v = 0; v < N; v++) all += beta[c * N + v];
            members[c] += sum_of(all);
            for (long r = 0; r < d; r++)
                for (long v = 0; v < N; v++) {
                    centred[r * N + v] = points[r * N + v] - mu[c * d + r];
                    z[r * N + v] *= -beta[c * N + v];  // the cotangent of z
                }
            product(D, [&](long j, long r) { return M[r * D + j]; }, [](long j) { return j; }, [&](long) { return d; }, z,
                    back.data());
            for (long r = 0; r < d; r++) {
                V row = {};
                for (long v = 0; v < N; v++) row += back[r * N + v];
                d_mu[c * D + r] -= sum_of(row);
            }
            for (long r = 0; r < D; r += T)
                for (long j = 0; j < std::min(r + T, D); j += 2) {
                    V sums[T][2] = {};
                    for (long v = 0; v < N; v++)
                        for (long t = 0; t < T; t++) {
                            sums[t][0] += z[(r + t) * N + v] * centred[j * N + v];
                            sums[t][1] += z[(r + t) * N + v] * centred[(j + 1) * N + v];
                        }
                    for (long t = 0; t < T; t++)
                        for (long u = 0; u < 2; u++) S[(r + t) * D + j + u] += sum_of(sums[t][u]);
                }
        }
    }
    double top = alpha[0], sum = 0.0, squares = 0.0, q_sum = 0.0;
    for (long c = 1; c < k; c++) top = std::max(top, alpha[c]);
    for (long c = 0; c < k; c++) sum += std::exp(alpha[c] - top), q_sum += sum_q[c];
    for (double v : matrix) squares += v * v;
    for (long c = 0; GRADIENT && c < k; c++) {
        g_alpha[c] = members[c] - n * std::exp(alpha[c] - top) / sum;
        for (long j = 0, at = c * below; j < d; j++) {
            const double e = matrix[(c * D + j) * D + j];
            g_mu[c * d + j] = d_mu[c * D + j];
            g_q[c * d + j] = members[c] + slope[(c * D + j) * D + j] * e - gamma * gamma * e * e + m;
            for (long r = j + 1; r < d; r++, at++) g_l[at] = slope[(c * D + r) * D + j] - gamma * gamma * l[at];
        }
    }
    const long freedom = d + m + 1;
    double constant = freedom * d * std::log(gamma / std::sqrt(2.0)) - 0.25 * d * (d - 1) * std::log(M_PI);
    for (long j = 1; j <= d; j++) constant -= std::lgamma(0.5 * (freedom + 1 - j));
    return total - n * (0.5 * d * std::log(2.0 * M_PI) + top + std::log(sum)) + k * constant -
           (0.5 * gamma * gamma * squares - m * q_sum);
}

API double gmm(long d, long k, long n, const double *alpha, const double *mu, const double *q, const double *l,
               const double *x, double gamma, long m) {
    return mixture<false>(d, k, n, alpha, mu, q, l, x, gamma, m, nullptr);
}

API void gmm_gradient(long d, long k, long n, const double *alpha, const double *mu, const double *q, const double *l,
                      const double *x, double gamma, long m, double *g) {
    mixture<true>(d, k, n, alpha, mu, q, l, x, gamma, m, g);
}

// --- lstm --------------------------------------------------------------------------------------------------------------
template <bool GRADIENT>
static double language(long layers, long b, long length, const double *R main, const double *R extra,
                       const double *R state, const double *R sequence, double *R g) {
    const long wide = 8 * b;  // what one cell keeps: x, h, cell, f, i, o, g, squashed
    static std::vector<double> tape;
    if (GRADIENT) tape.resize((length - 1) * (layers * wide + b));
    std::vector<double> now(state, state + 2 * layers * b), x(b), y(b), spare(wide);
    double total = 0.0;
    const double scale = -1.0 / (b * (length - 1));
    for (long t = 0; t < length - 1; t++) {
        double *kept = GRADIENT ? &tape[t * (layers * wide + b)] : spare.data();
        for (long j = 0; j < b; j++) x[j] = sequence[t * b + j] * extra[j];
        for (long k = 0; k < layers; k++) {
            const double *R w = main + 2 * k * 4 * b, *R v = w + 4 * b;
            double *R h = &now[2 * k * b], *R cell = h + b, *R at = kept + (GRADIENT ? k * wide : 0), *R in = x.data();
            for (long j = 0; j < b; j++) {
                at[j] = in[j], at[b + j] = h[j], at[2 * b + j] = cell[j];
                at[3 * b + j] = 1.0 / (1.0 + std::exp(-(in[j] * w[j] + v[j])));
                at[4 * b + j] = 1.0 / (1.0 + std::exp(-(h[j] * w[b + j] + v[b + j])));
                at[5 * b + j] = 1.0 / (1.0 + std::exp(-(in[j] * w[2 * b + j] + v[2 * b + j])));
                at[6 * b + j] = std::tanh(h[j] * w[3 * b + j] + v[3 * b + j]);
                cell[j] = cell[j] * at[3 * b + j] + at[4 * b + j] * at[6 * b + j];
                at[7 * b + j] = std::tanh(cell[j]);
                in[j] = h[j] = at[5 * b + j] * at[7 * b + j];
            }
        }
        double norm = 2.0;
        for (long j = 0; j < b; j++) y[j] = x[j] * extra[b + j] + extra[2 * b + j];
        double *R exps = GRADIENT ? kept + layers * wide : spare.data();
        for (long j = 0; j < b; j++) norm += exps[j] = std::exp(y[j]);
        const double lognorm = std::log(norm);
        double ones = 0.0;
        for (long j = 0; j < b; j++) total += sequence[(t + 1) * b + j] * (y[j] - lognorm), ones += sequence[(t + 1) * b + j];
        if (GRADIENT)  // the cotangent of y
            for (long j = 0; j < b; j++) exps[j] = scale * (sequence[(t + 1) * b + j] - ones * exps[j] / norm);
    }
    if (!GRADIENT) return scale * total;
    std::vector<double> d_h(layers * b, 0.0), d_c(layers * b, 0.0), d_x(b);
    double *g_extra = g + layers * wide;
    std::fill_n(g, layers * wide + 3 * b, 0.0);
    for (long t = length - 2; t >= 0; t--) {
        const double *kept = &tape[t * (layers * wide + b)], *R d_y = kept + layers * wide;
        for (long j = 0; j < b; j++) {
            const double *last = kept + (layers - 1) * wide;
            const double h = last[5 * b + j] * last[7 * b + j];
            g_extra[b + j] += d_y[j] * h, g_extra[2 * b + j] += d_y[j];
            d_x[j] = d_y[j] * extra[b + j];
        }
        for (long k = layers - 1; k >= 0; k--) {
            const double *R w = main + 2 * k * 4 * b, *R at = kept + k * wide;
            double *R gw = g + 2 * k * 4 * b, *R gv = gw + 4 * b, *R dh = &d_h[k * b], *R dc = &d_c[k * b];
            double *R dx = d_x.data();
            for (long j = 0; j < b; j++) {
                const double x = at[j], h = at[b + j], f = at[3 * b + j], i = at[4 * b + j], o = at[5 * b + j];
                const double g = at[6 * b + j], squashed = at[7 * b + j], ch = dh[j] + dx[j];
                const double cc = dc[j] + ch * o * (1.0 - squashed * squashed);
                const double af = cc * at[2 * b + j] * f * (1.0 - f), ai = cc * g * i * (1.0 - i);
                const double ao = ch * squashed * o * (1.0 - o), ag = cc * i * (1.0 - g * g);
                gv[j] += af, gv[b + j] += ai, gv[2 * b + j] += ao, gv[3 * b + j] += ag;
                gw[j] += af * x, gw[b + j] += ai * h, gw[2 * b + j] += ao * x, gw[3 * b + j] += ag * h;
                dx[j] = af * w[j] + ao * w[2 * b + j];
                dh[j] = ai * w[b + j] + ag * w[3 * b + j];
                dc[j] = cc * f;
            }
        }
        for (long j = 0; j < b; j++) g_extra[j] += d_x[j] * sequence[t * b + j];
    }
    return scale * total;
}

API double lstm(long layers, long b, long length, const double *main, const double *extra, const double *state,
                const double *sequence) {
    return language<false>(layers, b, length, main, extra, state, sequence, nullptr);
}

API void lstm_gradient(long layers, long b, long length, const double *main, const double *extra, const double *state,
                       const double *sequence, double *g) {
    language<true>(layers, b, length, main, extra, state, sequence, g);
}

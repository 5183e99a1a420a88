"""The C99 functions that an exported model calls; a file contains only those that it calls.

Images are (h, w, c), as everywhere in minnet; rows are (1, 1, c). `x` is read, `y` is written; neither overlaps the
other unless a function says so. Windows are read from an image that `pad` has written, so no index needs a
check.
"""

PARTS = {
    "dense": """
/* y (m) = b + x (n) w (n, m) */
static void dense(const float *x, int n, const float *w, const float *b, int m, float *y)
{
    int i, j;
    for (j = 0; j < m; j++)
        y[j] = b[j];
    for (i = 0; i < n; i++)
        for (j = 0; j < m; j++)
            y[j] += x[i] * w[i * m + j];
}
""",
    "dense_sparse": """
/* y (m) = b + x (n) w with live weights only: those of output j are start[j], ..., start[j + 1] - 1 */
static void dense_sparse(const float *x, const int *start, const int *place, const float *w, const float *b, int m,
                         float *y)
{
    int i, j;
    for (j = 0; j < m; j++) {
        float sum = b[j];
        for (i = start[j]; i < start[j + 1]; i++)
            sum += x[place[i]] * w[i];
        y[j] = sum;
    }
}
""",
    "pad": """
/* y (hp, wp, c): x (h, w, c) with `fill` around it */
static void pad(const float *x, int h, int w, int c, int top, int left, int hp, int wp, float fill, float *y)
{
    int i, j;
    for (i = 0; i < hp * wp * c; i++)
        y[i] = fill;
    for (i = 0; i < h; i++)
        for (j = 0; j < w * c; j++)
            y[((top + i) * wp + left) * c + j] = x[i * w * c + j];
}
""",
    "conv": """
/* y (ho, wo, o): windows (kh, kw) of x (.., wp, c), kw * c numbers in each of kh rows, times w (kh, kw, c, o) */
static void conv(const float *x, int wp, int c, int kh, int kw, int sh, int sw, const float *w, const float *b, int ho,
                 int wo, int o, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++, y += o) {
            for (k = 0; k < o; k++)
                y[k] = b[k];
            for (u = 0; u < kh; u++)
                for (v = 0; v < kw * c; v++) {
                    const float one = x[((i * sh + u) * wp + j * sw) * c + v];
                    const float *row = w + (u * kw * c + v) * o;
                    for (k = 0; k < o; k++)
                        y[k] += one * row[k];
                }
        }
}
""",
    "conv_sparse": """
/* the same, with the live weights of each output alone; place counts from the corner of a window */
static void conv_sparse(const float *x, int wp, int c, int sh, int sw, const int *start, const int *place,
                        const float *w, const float *b, int ho, int wo, int o, float *y)
{
    int i, j;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++, y += o)
            dense_sparse(x + (i * sh * wp + j * sw) * c, start, place, w, b, o, y);
}
""",
    "depthwise": """
/* y (ho, wo, c * m): channel k of x (.., wp, c) makes outputs k * m, ..., k * m + m - 1; w (kh, kw, c * m) */
static void depthwise(const float *x, int wp, int c, int kh, int kw, int sh, int sw, const float *w, const float *b,
                      int ho, int wo, int m, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++, y += c * m) {
            for (k = 0; k < c * m; k++)
                y[k] = b[k];
            for (u = 0; u < kh; u++)
                for (v = 0; v < kw; v++)
                    for (k = 0; k < c * m; k++)
                        y[k] += x[((i * sh + u) * wp + j * sw + v) * c + k / m] * w[(u * kw + v) * c * m + k];
        }
}
""",
    "max_pool": """
/* y (ho, wo, c): the largest number of each window of x (.., wp, c) */
static void max_pool(const float *x, int wp, int c, int kh, int kw, int sh, int sw, int ho, int wo, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++)
            for (k = 0; k < c; k++) {
                float best = x[(i * sh * wp + j * sw) * c + k];
                for (u = 0; u < kh; u++)
                    for (v = 0; v < kw; v++) {
                        const float one = x[((i * sh + u) * wp + j * sw + v) * c + k];
                        best = one > best ? one : best;
                    }
                *y++ = best;
            }
}
""",
    "avg_pool": """
/* y (ho, wo, c): the mean of each window of x (h, w, c) over its pixels inside the image */
static void avg_pool(const float *x, int h, int w, int c, int top, int left, int kh, int kw, int sh, int sw, int ho,
                     int wo, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++)
            for (k = 0; k < c; k++) {
                float sum = 0.0f;
                int count = 0;
                for (u = i * sh - top; u < i * sh - top + kh; u++)
                    for (v = j * sw - left; v < j * sw - left + kw; v++)
                        if (u >= 0 && u < h && v >= 0 && v < w) {
                            sum += x[(u * w + v) * c + k];
                            count++;
                        }
                *y++ = sum / (float)count;
            }
}
""",
    "global_avg_pool": """
/* y (c): the mean over all n pixels of x (n, c) */
static void global_avg_pool(const float *x, int n, int c, float *y)
{
    int i, k;
    for (k = 0; k < c; k++) {
        float sum = 0.0f;
        for (i = 0; i < n; i++)
            sum += x[i * c + k];
        y[k] = sum / (float)n;
    }
}
""",
    "scale": """
/* x (n, c) = x * gain + shift, in place */
static void scale(float *x, int n, int c, const float *gain, const float *shift)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++)
            x[i * c + k] = x[i * c + k] * gain[k] + shift[k];
}
""",
    "scale_input": """
/* y (n) = (x - shift) / scale, whose m numbers repeat */
static void scale_input(const float *x, int n, const float *shift, const float *scale, int m, float *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = (x[i] - shift[i % m]) / scale[i % m];
}
""",
    "fill_missing": """
/* y (n) = x, and fill where x is NaN: compile without -ffast-math */
static void fill_missing(const float *x, int n, const float *fill, float *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] != x[i] ? fill[i] : x[i];
}
""",
    "relu": """
/* x (n) = max(x, 0), in place */
static void relu(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
""",
    "leaky_relu": """
/* x (n) = x where x > 0, slope * x elsewhere, in place */
static void leaky_relu(float *x, int n, float slope)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}
""",
    "hyperbolic": """
/* x (n) = tanh(x), in place */
static void hyperbolic(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = tanhf(x[i]);
}
""",
    "sigmoid": """
/* x (n) = 1 / (1 + exp(-x)), in place; this way nothing overflows */
static void sigmoid(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = 0.5f * (1.0f + tanhf(0.5f * x[i]));
}
""",
    "relu6": """
/* x (n) = min(max(x, 0), 6), in place */
static void relu6(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? (x[i] < 6.0f ? x[i] : 6.0f) : 0.0f;
}
""",
    "elu": """
/* x (n) = x where x > 0, alpha * (exp(x) - 1) elsewhere, in place */
static void elu(float *x, int n, float alpha)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] : alpha * expm1f(x[i]);
}
""",
    "silu": """
/* x (n) = x / (1 + exp(-x)), in place; this way nothing overflows */
static void silu(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] *= 0.5f * (1.0f + tanhf(0.5f * x[i]));
}
""",
    "hardswish": """
/* x (n) = x * min(max(x + 3, 0), 6) / 6, in place */
static void hardswish(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++) {
        const float rise = x[i] + 3.0f;
        x[i] *= (rise > 0.0f ? (rise < 6.0f ? rise : 6.0f) : 0.0f) / 6.0f;
    }
}
""",
    "gelu": """
/* x (n) = x * (1 + erf(x / sqrt(2))) / 2, in place; erfc keeps its digits far below 0 */
static void gelu(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] *= 0.5f * erfcf(-0.707106781f * x[i]);
}
""",
    "softmax": """
/* x (n, c) = exp(x) / the sum of exp(x) of its row, in place */
static void softmax(float *x, int n, int c)
{
    int i, k;
    for (i = 0; i < n; i++, x += c) {
        float greatest = x[0], sum = 0.0f;
        for (k = 1; k < c; k++)
            greatest = x[k] > greatest ? x[k] : greatest;
        for (k = 0; k < c; k++) {
            x[k] = expf(x[k] - greatest);
            sum += x[k];
        }
        for (k = 0; k < c; k++)
            x[k] /= sum;
    }
}
""",
    "add": """
/* y (n) = x + y, in place */
static void add(const float *x, int n, float *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] += x[i];
}
""",
    "place_beside": """
/* y (n, total), from channel `first` on: x (n, c) */
static void place_beside(const float *x, int n, int c, int total, int first, float *y)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++)
            y[i * total + first + k] = x[i * c + k];
}
""",
    "copy": """
/* y (n) = x */
static void copy(const float *x, int n, float *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = x[i];
}
""",
}
NEEDS = {"conv_sparse": ("dense_sparse",)}   # what a part calls itself; these come before it

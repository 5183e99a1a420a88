"""The C functions of arithmetic in integers: no float is computed with.

A number r is stored as an int8_t q, with r = scale * (q - zero); sums are int32_t, and become an output by a factor of
31 bits and a shift to the right.
"""
from minnet.formats.c_parts_linear import linear_parts

GIVEN = "const @@ int32_t *b, const @@ int32_t *factor, int each, int shift,\n        int zero"
INTEGERS = {
    f"integer{bits}": {"X": "int8_t", "W": "int8_t", "S": "int32_t", "Y": f"int{bits}_t", "GIVEN": GIVEN,
                       "OUTSIDE": "(int8_t)g->outside", "WORDS": " in integers: sums times factor / 2^shift",
                       "GIVE": rf"rescale{bits}(b[k] + \1, factor[k * each], shift, zero)"}
    for bits in (8, 32)}

RESCALE = """
/* zero + sum * factor / 2^shift, rounded, halves upwards, within LOW to HIGH */
static intBITS_t rescaleBITS(int32_t sum, int32_t factor, int shift, int zero)
{
    const int64_t y = (((int64_t)sum * factor + ((int64_t)1 << (shift - 1))) >> shift) + zero;
    return (intBITS_t)(y < LOW ? LOW : y > HIGH ? HIGH : y);
}
"""


def rescale(bits: int, low: int, high: int) -> str:
    """Return the function that makes an output of a sum."""
    return RESCALE.replace("BITS", str(bits)).replace("LOW", str(low)).replace("HIGH", str(high))


INT8 = {
    "rescale8": rescale(8, -128, 127),
    "rescale32": rescale(32, -2**30, 2**30),
    **linear_parts(INTEGERS),
    "relu_int8": """
/* x (n) = max(x, zero), in place */
static void relu_int8(int8_t *x, int n, int8_t zero)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > zero ? x[i] : zero;
}
""",
    "look_up": """
/* x (n) = table[x + 128], in place */
static void look_up(int8_t *x, int n, const int8_t *table)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = table[x[i] + 128];
}
""",
    "by_channel_int8": """
/* x (n, c) = zero + ((x - x0) * (x > x0 ? up : down) + offset) / 2^shift, rounded, in place */
static void by_channel_int8(int8_t *x, int n, int c, int x0, const int32_t *up, const int32_t *down,
                            const int32_t *offset, int shift, int zero)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++) {
            const int32_t v = x[i * c + k] - x0;
            x[i * c + k] = rescale8(v * (v > 0 ? up[k] : down[k]) + offset[k], 1, shift, zero);
        }
}
""",
    "max_pool_int8": """
/* y (ho, wo, c): the largest number of each window of x (h, w, c) over its pixels inside the image */
static void max_pool_int8(const int8_t *x, int h, int w, int c, int top, int left, int kh, int kw, int sh, int sw,
                          int ho, int wo, int8_t *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++)
            for (k = 0; k < c; k++) {
                int8_t best = -128;
                for (u = i * sh - top; u < i * sh - top + kh; u++)
                    for (v = j * sw - left; v < j * sw - left + kw; v++)
                        if (u >= 0 && u < h && v >= 0 && v < w && x[(u * w + v) * c + k] > best)
                            best = x[(u * w + v) * c + k];
                *y++ = best;
            }
}
""",
    "avg_pool_int8": """
/* y (ho, wo, c): the mean of each window of x (h, w, c), over `size` pixels or, if that is 0, those inside the image,
   in 256th, times factor / 2^shift */
static void avg_pool_int8(const int8_t *x, int h, int w, int c, int top, int left, int kh, int kw, int sh, int sw,
                          int ho, int wo, int size, int x0, int32_t factor, int shift, int zero, int8_t *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++)
            for (k = 0; k < c; k++) {
                int32_t sum = 0, count = 0;
                for (u = i * sh - top; u < i * sh - top + kh; u++)
                    for (v = j * sw - left; v < j * sw - left + kw; v++)
                        if (u >= 0 && u < h && v >= 0 && v < w) {
                            sum += x[(u * w + v) * c + k] - x0;
                            count++;
                        }
                *y++ = rescale8(sum * 256 / (size ? size : count), factor, shift, zero);
            }
}
""",
    "multiply_int8": """
/* y (n, c) = zero + (x (c) - x0) * (y - y0) * factor / 2^shift, rounded, in place */
static void multiply_int8(const int8_t *x, int n, int c, int x0, int y0, int32_t factor, int shift, int zero, int8_t *y)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++)
            y[i * c + k] = rescale8((x[k] - x0) * (y[i * c + k] - y0), factor, shift, zero);
}
""",
    "add_int8": """
/* y (n) = zero + ((x - x0) * fx + (y - y0) * fy) / 2^shift, rounded, in place */
static void add_int8(const int8_t *x, int n, int x0, int32_t fx, int y0, int32_t fy, int shift, int zero, int8_t *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = rescale8((x[i] - x0) * fx + (y[i] - y0) * fy, 1, shift, zero);
}
""",
    "place_beside_int8": """
/* y (n, total), from channel `first` on: x (n, c) */
static void place_beside_int8(const int8_t *x, int n, int c, int total, int first, int8_t *y)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++)
            y[i * total + first + k] = x[i * c + k];
}
""",
    "copy_int8": """
/* y (n) = x */
static void copy_int8(const int8_t *x, int n, int8_t *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = x[i];
}
""",
    "widen": """
/* y (n) = x - zero */
static void widen(const int8_t *x, int n, int zero, int32_t *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] - zero;
}
""",
}
RESCALED = ("by_channel_int8", "add_int8", "multiply_int8", "avg_pool_int8")
NEEDS = {name: ("rescale8",) for name in INT8 if "integer8" in name or name in RESCALED} | \
    {name: ("rescale32",) for name in INT8 if "integer32" in name}

"""The C functions of layers with weights: dense, convolutions, depthwise convolutions.

A convolution reads an image that `pad` has written, so that no index needs a check.
"""

LINEAR = {
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
}

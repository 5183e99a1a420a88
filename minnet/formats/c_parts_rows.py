"""The C functions that scale, fill, copy, add, multiply and join rows."""

ROWS = {
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
    "moments": """
/* x (n, p, g, c): each part of p * c numbers, and zeros up to `all`, to mean 0 and variance 1, * gain + shift (g, c) */
static void moments(float *x, int n, int p, int g, int c, float all, float epsilon, const float *gain,
                    const float *shift)
{
    int i, j, k, l;
    for (i = 0; i < n; i++, x += p * g * c)
        for (j = 0; j < g; j++) {
            float mean = 0.0f, squares = 0.0f, inverse;
            for (k = 0; k < p; k++)
                for (l = 0; l < c; l++)
                    mean += x[(k * g + j) * c + l];
            mean /= all;
            for (k = 0; k < p; k++)
                for (l = 0; l < c; l++) {
                    const float far = x[(k * g + j) * c + l] - mean;
                    squares += far * far;
                }
            squares += (all - (float)(p * c)) * mean * mean;
            inverse = 1.0f / sqrtf(squares / all + epsilon);
            for (k = 0; k < p; k++)
                for (l = 0; l < c; l++) {
                    float *one = x + (k * g + j) * c + l;
                    *one = (*one - mean) * inverse * gain[j * c + l] + shift[j * c + l];
                }
        }
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
    "add": """
/* y (n) = x + y, in place */
static void add(const float *x, int n, float *y)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] += x[i];
}
""",
    "multiply": """
/* y (n, c) = x (c) * y, in place */
static void multiply(const float *x, int n, int c, float *y)
{
    int i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++)
            y[i * c + k] *= x[k];
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

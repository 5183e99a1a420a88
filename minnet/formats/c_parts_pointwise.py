"""The C functions of activations, in place, each number by itself; and softmax."""

POINTWISE = {
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
}

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
    "gelu_tanh": """
/* x (n) = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2, in place */
static void gelu_tanh(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] *= 0.5f * (1.0f + tanhf(0.797884561f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}
""",
    "clip": """
/* x (n) = min(max(x, low), high), in place */
static void clip(float *x, int n, float low, float high)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > low ? (x[i] < high ? x[i] : high) : low;
}
""",
    "hard_sigmoid": """
/* x (n) = min(max(alpha * x + beta, 0), 1), in place */
static void hard_sigmoid(float *x, int n, float alpha, float beta)
{
    int i;
    for (i = 0; i < n; i++) {
        const float line = alpha * x[i] + beta;
        x[i] = line > 0.0f ? (line < 1.0f ? line : 1.0f) : 0.0f;
    }
}
""",
    "selu": """
/* x (n) = scale * x where x > 0, low * (exp(x) - 1) elsewhere, in place */
static void selu(float *x, int n, float scale, float low)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? scale * x[i] : low * expm1f(x[i]);
}
""",
    "softplus": """
/* x (n) = log(1 + exp(beta * x)) / beta, in place; this way nothing overflows */
static void softplus(float *x, int n, float beta)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = (x[i] > 0.0f ? x[i] : 0.0f) + log1pf(expf(-beta * fabsf(x[i]))) / beta;
}
""",
    "mish": """
/* x (n) = x * tanh(log(1 + exp(x))), in place; this way nothing overflows */
static void mish(float *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] *= tanhf((x[i] > 0.0f ? x[i] : 0.0f) + log1pf(expf(-fabsf(x[i]))));
}
""",
    "prelu": """
/* x (n, c) = x where x > 0, slope * x elsewhere, with a slope for each of c columns, in place */
static void prelu(float *x, int n, int c, const float *slope)
{
    int i, k;
    for (i = 0; i < n; i++, x += c)
        for (k = 0; k < c; k++)
            x[k] = x[k] > 0.0f ? x[k] : slope[k] * x[k];
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

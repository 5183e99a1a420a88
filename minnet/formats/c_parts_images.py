"""The C functions of images: pools."""

IMAGES = {
    "max_pool": """
/* y (ho, wo, c): the largest number of each window of x (h, w, c) over its pixels inside the image */
static void max_pool(const float *x, int h, int w, int c, int top, int left, int kh, int kw, int sh, int sw, int ho,
                     int wo, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++)
            for (k = 0; k < c; k++) {
                float best = 0.0f;
                int count = 0;
                for (u = i * sh - top; u < i * sh - top + kh; u++)
                    for (v = j * sw - left; v < j * sw - left + kw; v++)
                        if (u >= 0 && u < h && v >= 0 && v < w) {
                            const float one = x[(u * w + v) * c + k];
                            best = count++ == 0 || one > best ? one : best;
                        }
                *y++ = best;
            }
}
""",
    "avg_pool": """
/* y (ho, wo, c): the mean of each window of x (h, w, c), over `size` pixels or, if that is 0, those inside the image */
static void avg_pool(const float *x, int h, int w, int c, int top, int left, int kh, int kw, int sh, int sw, int ho,
                     int wo, int size, float *y)
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
                *y++ = sum / (float)(size ? size : count);
            }
}
""",
    "adaptive_avg_pool": """
/* y (ho, wo, c): the mean of each window of x (h, w, c); they follow from the sizes, as in PyTorch */
static void adaptive_avg_pool(const float *x, int h, int w, int c, int ho, int wo, float *y)
{
    int i, j, u, v, k;
    for (i = 0; i < ho; i++)
        for (j = 0; j < wo; j++) {
            const int top = i * h / ho, bottom = ((i + 1) * h + ho - 1) / ho;
            const int left = j * w / wo, right = ((j + 1) * w + wo - 1) / wo;
            for (k = 0; k < c; k++) {
                float sum = 0.0f;
                for (u = top; u < bottom; u++)
                    for (v = left; v < right; v++)
                        sum += x[(u * w + v) * c + k];
                *y++ = sum / (float)((bottom - top) * (right - left));
            }
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
}

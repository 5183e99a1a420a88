"""The C functions of layers with weights: dense layers, convolutions, convolutions in groups.

Each is a template of C, for each kind of numbers: float inputs with float or int8 weights, or integers alone. Live
weights are stored unit by unit: count[k] of output k, then the place of each, from the input's (for an image, from the
window's) first number on, or from the place before, of 4 bits two to a byte. `@` is for the name of the net, `@@` for
its macro FLASH.
"""
import re
from itertools import product

# how places are stored: their type, the step over live weights, the place of one within a window, the length of n
STEP4 = "((place[i / 2] >> (i % 2 * 4)) & 15)"
PLACES = {
    f"{how}{bits}": {"PLACE": f"uint{bits}_t", "STEP": step, "NEXT": following, "LENGTH": "n"}
    for how, sizes, step, following in (
        ("at", (8, 16, 32), "sum += from[place[i]] * (S)w[i];", "place[i]"),
        ("step", (8, 16), "from += place[i];\n            sum += *from * (S)w[i];", "at + place[i]"))
    for bits in sizes} | {
    "step4": {"PLACE": "uint8_t", "STEP": f"from += {STEP4};\n            sum += *from * (S)w[i];",
              "NEXT": f"at + {STEP4}", "LENGTH": "(n + 1) / 2"}}
COUNTS = {f"count{bits}": {"COUNT": f"uint{bits}_t"} for bits in (8, 16, 32)}

# of each kind of numbers: types of an input, a weight, a sum and an output; the further parameters of a function; the
# output of a sum; what is outside of an image
KINDS = {
    "float": {"X": "float", "W": "float", "S": "float", "Y": "float", "OUTSIDE": "0.0f", "WORDS": "",
              "GIVEN": "const @@ float *b", "GIVE": r"b[k] + \1"},
    "int8": {"X": "float", "W": "int8_t", "S": "float", "Y": "float", "OUTSIDE": "0.0f", "WORDS": " * scale",
             "GIVEN": "const @@ float *b, const @@ float *scale, int each", "GIVE": r"b[k] + scale[k * each] * \1"},
}

DENSE = """
/* y (m) = b + x (n) w (n, m)WORDS; sum has room for m numbers, and may be y */
static void dense_KIND(const X *x, int n, const @@ W *w,
        GIVEN, S *sum, int m, Y *y)
{
    int i, k;
    for (k = 0; k < m; k++)
        sum[k] = 0;
    for (i = 0; i < n; i++, w += m)
        for (k = 0; k < m; k++)
            sum[k] += x[i] * (S)w[k];
    for (k = 0; k < m; k++)
        y[k] = GIVE(sum[k]);
}
"""

DENSE_SPARSE = """
/* y (m) = b + x (n) wWORDS, of live weights alone */
static void dense_KIND_PLACED(const X *x, const @@ COUNT *count, const @@ PLACE *place,
        const @@ W *w, GIVEN, int m, Y *y)
{
    int k;
    for (k = 0; k < m; k++) {
        COUNT i, n = count[k];
        const X *from = x;
        S sum = 0;
        for (i = 0; i < n; i++) {
            STEP
        }
        place += LENGTH;
        w += n;
        y[k] = GIVE(sum);
    }
}
"""

WINDOW = """
/* A window (kh, kw), its pixels (dh, dw) apart, that moves by (sh, sw) over an image (h, w, c) from (-top, -left) on;
   the largest of each (ph, pw) results, (qh, qw) apart, is one of the image (ho, wo, o). Rows have pitch places; what
   lies outside of the image is like a pixel of the number outside. */
typedef struct {
    int h, w, c, kh, kw, dh, dw, sh, sw, top, left, ph, pw, qh, qw, ho, wo, o, pitch, outside;
} @_window;
"""

CONV = """
/* sum (o) = the window at (row, column) of x times w (kh, kw, c, o) */
static void conv_sums_KIND(const X *x, const @@ @_window *g, int row, int column, const @@ W *w, S *sum)
{
    int u, v, i, k;
    for (k = 0; k < g->o; k++)
        sum[k] = 0;
    for (u = 0; u < g->kh; u++)
        for (v = 0; v < g->kw; v++) {
            const int i0 = row + u * g->dh, j0 = column + v * g->dw;
            const int inside = i0 >= 0 && i0 < g->h && j0 >= 0 && j0 < g->w;
            for (i = 0; i < g->c; i++, w += g->o) {
                const X one = inside ? x[(i0 * g->w + j0) * g->c + i] : OUTSIDE;
                for (k = 0; k < g->o; k++)
                    sum[k] += one * (S)w[k];
            }
        }
}

/* y (ho, wo, o) = b + windows of x times wWORDS; sum has room for o numbers, twice as many with a pool */
static void conv_KIND(const X *x, const @@ @_window *g, const @@ W *w,
        GIVEN, S *sum, Y *y)
{
    S *best = g->ph * g->pw > 1 ? sum + g->o : sum;
    int i, j, p, q, k;
    for (i = 0; i < g->ho; i++)
        for (j = 0; j < g->wo; j++, y += g->o) {
            for (p = 0; p < g->ph; p++)
                for (q = 0; q < g->pw; q++) {
                    conv_sums_KIND(x, g, (i * g->qh + p) * g->sh - g->top, (j * g->qw + q) * g->sw - g->left, w,
                                   sum);
                    for (k = 0; k < g->o; k++)
                        if ((p == 0 && q == 0) || sum[k] > best[k])
                            best[k] = sum[k];
                }
            for (k = 0; k < g->o; k++)
                y[k] = GIVE(best[k]);
        }
}
"""

CONV_SPARSE = """
/* the sum of n live weights of the window at (row, column) of x */
static S conv_sum_KIND_PLACED(const X *x, const @@ @_window *g, int row, int column, COUNT n,
        const @@ PLACE *place, const @@ W *w)
{
    S sum = 0;
    COUNT i;
    if (row >= 0 && column >= 0 && row + (g->kh - 1) * g->dh < g->h && column + (g->kw - 1) * g->dw < g->w) {
        const X *from = x + (row * g->w + column) * g->c;
        for (i = 0; i < n; i++) {
            STEP
        }
    } else {
        int at = 0;
        for (i = 0; i < n; i++) {
            int u, v;
            at = (int)(NEXT);
            u = row + at / g->pitch;
            v = column + at % g->pitch / g->c;
            if (u >= 0 && u < g->h && v >= 0 && v < g->w)
                sum += x[(u * g->w + v) * g->c + at % g->c] * (S)w[i];
            else
                sum += OUTSIDE * (S)w[i];
        }
    }
    return sum;
}

/* y (ho, wo, o) = b + windows of x times the live weights wWORDS of each output */
static void conv_KIND_PLACED(const X *x, const @@ @_window *g, const @@ COUNT *count, const @@ PLACE *place,
        const @@ W *w, GIVEN, Y *y)
{
    int i, j, p, q, k;
    for (i = 0; i < g->ho; i++)
        for (j = 0; j < g->wo; j++, y += g->o) {
            const @@ PLACE *first = place;
            const @@ W *weight = w;
            for (k = 0; k < g->o; k++) {
                const COUNT n = count[k];
                S best = 0;
                for (p = 0; p < g->ph; p++)
                    for (q = 0; q < g->pw; q++) {
                        const S sum = conv_sum_KIND_PLACED(x, g, (i * g->qh + p) * g->sh - g->top,
                                                           (j * g->qw + q) * g->sw - g->left, n, first,
                                                           weight);
                        if ((p == 0 && q == 0) || sum > best)
                            best = sum;
                    }
                first += LENGTH;
                weight += n;
                y[k] = GIVE(best);
            }
        }
}
"""

GROUPED = """
/* y (ho, wo, o): outputs i * m, ..., i * m + m - 1 read channels i * n, ..., i * n + n - 1; w (kh, kw, n, o)WORDS */
static void grouped_KIND(const X *x, const @@ @_window *g, int n, int m, const @@ W *w,
        GIVEN, Y *y)
{
    int i, j, u, v, k, l;
    for (i = 0; i < g->ho; i++)
        for (j = 0; j < g->wo; j++, y += g->o)
            for (k = 0; k < g->o; k++) {
                const @@ W *weight = w + k;
                S sum = 0;
                for (u = 0; u < g->kh; u++)
                    for (v = 0; v < g->kw; v++) {
                        const int i0 = i * g->sh - g->top + u * g->dh, j0 = j * g->sw - g->left + v * g->dw;
                        const int inside = i0 >= 0 && i0 < g->h && j0 >= 0 && j0 < g->w;
                        for (l = 0; l < n; l++, weight += g->o) {
                            const X one = inside ? x[(i0 * g->w + j0) * g->c + k / m * n + l] : OUTSIDE;
                            sum += one * (S)*weight;
                        }
                    }
                y[k] = GIVE(sum);
            }
}
"""


def filled(text: str, names: str, *tables: dict[str, str]) -> str:
    """Return a template with its words in capitals replaced by those of `tables`, KIND and PLACED by `names`."""
    for word, name in zip(("KIND", "PLACED"), names.split(" "), strict=False):
        text = text.replace(word, name)
    words = {word: value for table in tables for word, value in table.items() if word != "GIVE"}
    give = next(table["GIVE"] for table in tables if "GIVE" in table)
    for word in ("STEP", *sorted(words, key=len, reverse=True)):  # a step has words in it
        text = re.sub(rf"\b{word}\b|(?<=\w){word}(?=\b)", lambda _, word=word: words[word], text) \
            if word in words else text
    return re.sub(r"GIVE\((\w+(?:\[k\])?)\)", give, text)


def linear_parts(kinds: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the functions of these kinds of numbers by name: those of dense weights, then of live ones."""
    parts = {f"{name}_{kind}": filled(text, kind, words) for kind, words in kinds.items()
             for name, text in (("dense", DENSE), ("conv", CONV), ("grouped", GROUPED))}
    for (kind, words), (place, of_place), (count, of_count) in product(kinds.items(), PLACES.items(), COUNTS.items()):
        for name, text in (("dense", DENSE_SPARSE), ("conv", CONV_SPARSE)):
            names = f"{kind} {place}_{count}"
            parts[f"{name}_{names.replace(' ', '_')}"] = filled(text, names, words, of_place, of_count)
    return parts


LINEAR = linear_parts(KINDS)

#include "fastebm/patterns/lattice_product.h"

#include "fastebm/base/parallel.h"
#include "fastebm/patterns/lattice_axes.h"

/* Numbers that are summed at a time, in four vector registers: four cache lines of each stream.
   They are named, as GCC keeps an array of vectors in memory: 1.6 instead of 0.8 ns a row
   (benchmarks: product, hypercube). */
#define CHUNK 32
#define LOW_BITS 5 /* log2 CHUNK */

/* Shortest line of the fastest axis for which computing the offsets of its streams pays: 0.39
   against 0.51 ns a row on the torus 512 x 512, 1.48 against 1.56 on 101^3; of 32, 2.9 against 2.1
   ns on 32^4. */
#define LONG_LINE 64

typedef double lanes_t __attribute__((vector_size(64), aligned(8), may_alias));
typedef struct chunk {
    lanes_t a, b, c, d;
} chunk_t;

/* Macros, not functions: a vector argument has another ABI in each clone. */
#define CHUNK_SET(s, p)                                                                    \
    ((s).a = LANES(p, 0), (s).b = LANES(p, 8), (s).c = LANES(p, 16), (s).d = LANES(p, 24))
#define CHUNK_ADD(s, p)                                                                        \
    ((s).a += LANES(p, 0), (s).b += LANES(p, 8), (s).c += LANES(p, 16), (s).d += LANES(p, 24))
#define CHUNK_PUT(s, p)                                                          \
    (LANES_OUT(p, 0) = (s).a, LANES_OUT(p, 8) = (s).b, LANES_OUT(p, 16) = (s).c, \
     LANES_OUT(p, 24) = (s).d)
#define LANES(p, k) (*(const lanes_t *)((p) + (k)))
#define LANES_OUT(p, k) (*(lanes_t *)((p) + (k)))

/* --- torus ------------------------------------------------------------------------------------ */

/* out[k] = sum over s, in order, of in[k + offset[s]]. */
EBM_INLINE void sum_streams(int64_t count, int64_t n_streams, const int64_t *offset,
                            const double *in, double *out)
{
    int64_t k = 0;
    for (; k + CHUNK <= count; k += CHUNK) {
        chunk_t sum;
        CHUNK_SET(sum, in + k + offset[0]);
        for (int64_t s = 1; s < n_streams; s++) CHUNK_ADD(sum, in + k + offset[s]);
        CHUNK_PUT(sum, out + k);
    }
    for (; k + 8 <= count; k += 8) {
        lanes_t sum = LANES(in + k, offset[0]);
        for (int64_t s = 1; s < n_streams; s++) sum += LANES(in + k, offset[s]);
        LANES_OUT(out, k) = sum;
    }
    for (; k < count; k++) {
        double sum = in[k + offset[0]];
        for (int64_t s = 1; s < n_streams; s++) sum += in[k + offset[s]];
        out[k] = sum;
    }
}

/* Along a line of the fastest axis all other axes' steps are constant: a line is at most three runs
   of contiguous streams. */
EBM_INLINE void torus_lines(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                            const double *x, double *y)
{
    int64_t offset[2 * EBM_LATTICE_MAX_AXES + 1];
    const int64_t first = L->self_loop, n_streams = L->degree;
    if (L->self_loop) offset[0] = 0;
    for (int64_t line = begin; line < end;) {
        const int64_t line_end = least(end, line - digit_of(L, 0, line) + L->length[0]);
        for (int64_t axis = 1; axis < L->n_axes; axis++) {
            const int64_t digit = digit_of(L, axis, line);
            for (int64_t k = 0; k < 2; k++)
                offset[first + 2 * axis + k] = step_along(L, axis, digit, k) * width;
        }
        while (line < line_end) {
            const int64_t digit = digit_of(L, 0, line), stop = run_end(L, 0, digit, line, line_end);
            for (int64_t k = 0; k < 2; k++) offset[first + k] = step_along(L, 0, digit, k) * width;
            sum_streams((stop - line) * width, n_streams, offset, x + line * width,
                        y + (line - begin) * width);
            line = stop;
        }
    }
}

/* The same sums in the same order, one axis after the other. */
EBM_INLINE void torus_axes(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                           const double *x, double *y)
{
    for (int64_t k = 0; k < (end - begin) * width; k++)
        y[k] = L->self_loop ? x[begin * width + k] : 0.0;
    for (int64_t axis = 0; axis < L->n_axes; axis++)
        for (int64_t i = begin, stop; i < end; i = stop) {
            const int64_t digit = digit_of(L, axis, i);
            stop = run_end(L, axis, digit, i, end);
            const double *down = x + (i + step_along(L, axis, digit, 0)) * width;
            const double *up = x + (i + step_along(L, axis, digit, 1)) * width;
            double *out = y + (i - begin) * width;
            for (int64_t k = 0; k < (stop - i) * width; k++) out[k] = (out[k] + down[k]) + up[k];
        }
}

EBM_MULTIVERSION
static void torus_product(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                          const double *x, double *y)
{
    if (L->length[0] * width < LONG_LINE) torus_axes(L, begin, end, width, x, y);
    else torus_lines(L, begin, end, width, x, y);
}

/* --- hypercube -------------------------------------------------------------------------------- */

/* CHUNK rows from i, a multiple of CHUNK: the low bits flip within the chunk, each high bit is a
   contiguous stream. Bits are added in ascending order, as everywhere. */
EBM_INLINE void cube_chunk(int64_t n_bits, int self_loop, int64_t i, const double *x, double *y)
{
    const double *own = x + i;
    double sum[CHUNK];
    for (int k = 0; k < CHUNK; k++) sum[k] = self_loop ? own[k] + own[k ^ 1] : own[k ^ 1];
    for (int k = 0; k < CHUNK; k++) sum[k] += own[k ^ 2];
    for (int k = 0; k < CHUNK; k++) sum[k] += own[k ^ 4];
    for (int k = 0; k < CHUNK; k++) sum[k] += own[k ^ 8];
    for (int k = 0; k < CHUNK; k++) sum[k] += own[k ^ 16];
    chunk_t total;
    CHUNK_SET(total, sum);
    for (int64_t b = LOW_BITS; b < n_bits; b++) CHUNK_ADD(total, x + (i ^ (INT64_C(1) << b)));
    CHUNK_PUT(total, y);
}

/* Row by row: each bit is a stream as long as the block is wide. */
EBM_INLINE void cube_rows(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                          const double *x, double *y)
{
    int64_t offset[EBM_LATTICE_MAX_AXES + 1] = {0};
    for (int64_t i = begin; i < end; i++) {
        for (int64_t b = 0; b < L->n_axes; b++)
            offset[L->self_loop + b] = ((i ^ (INT64_C(1) << b)) - i) * width;
        sum_streams(width, L->degree, offset, x + i * width, y + (i - begin) * width);
    }
}

EBM_MULTIVERSION
static void cube_product(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                         const double *x, double *y)
{
    /* whole chunks of a single vector; the rows before and after them one by one */
    int64_t from = least(end, (begin + CHUNK - 1) / CHUNK * CHUNK), to = end / CHUNK * CHUNK;
    if (width > 1 || L->n_axes < LOW_BITS || to < from) from = to = end;
    cube_rows(L, begin, from, width, x, y);
    for (int64_t i = from; i < to; i += CHUNK)
        cube_chunk(L->n_axes, L->self_loop, i, x, y + (i - begin));
    cube_rows(L, to, end, width, x, y + (to - begin) * width);
}

/* --- Hamming graph ---------------------------------------------------------------------------- */

/* To each number of a fibre (numbers `stride` apart that differ in one digit) the sum of those
   below and the sum of those above are added: no subtraction, see lattice.h. */

/* `count` whole fibres side by side, two additions a number whatever their length. */
EBM_INLINE void add_whole_fibres(int64_t length, int64_t stride, int64_t count, const double *x,
                                 double *y)
{
    int64_t t = 0;
    for (; t + CHUNK <= count; t += CHUNK)
        for (int up = 1; up >= 0; up--) {
            chunk_t sum = {0};
            for (int64_t k = 0; k < length; k++) {
                const int64_t at = (up ? k : length - 1 - k) * stride + t;
                chunk_t out;
                CHUNK_SET(out, y + at);
                out.a += sum.a, out.b += sum.b, out.c += sum.c, out.d += sum.d;
                CHUNK_PUT(out, y + at);
                CHUNK_ADD(sum, x + at);
            }
        }
    for (; t < count; t++)
        for (int up = 1; up >= 0; up--) {
            double sum = 0.0;
            for (int64_t k = 0; k < length; k++) {
                const int64_t at = (up ? k : length - 1 - k) * stride + t;
                y[at] += sum;
                sum += x[at];
            }
        }
}

/* The same for `count` numbers that all have this digit. */
EBM_INLINE void add_other_digits(int64_t length, int64_t stride, int64_t digit, int64_t count,
                                 const double *x, double *y)
{
    x -= digit * stride;
    int64_t t = 0;
    for (; t + CHUNK <= count; t += CHUNK) {
        chunk_t below = {0}, above = {0}, out;
        for (int64_t d = 0; d < digit; d++) CHUNK_ADD(below, x + d * stride + t);
        for (int64_t d = length - 1; d > digit; d--) CHUNK_ADD(above, x + d * stride + t);
        CHUNK_SET(out, y + t);
        out.a = (out.a + below.a) + above.a, out.b = (out.b + below.b) + above.b;
        out.c = (out.c + below.c) + above.c, out.d = (out.d + below.d) + above.d;
        CHUNK_PUT(out, y + t);
    }
    for (; t < count; t++) {
        double below = 0.0, above = 0.0;
        for (int64_t d = 0; d < digit; d++) below += x[d * stride + t];
        for (int64_t d = length - 1; d > digit; d--) above += x[d * stride + t];
        y[t] = (y[t] + below) + above;
    }
}

/* A fibre that lies within the range is summed once, one that is wider than it digit by digit. A
   block of vectors is one more axis, the fastest, which no step changes. */
EBM_MULTIVERSION
static void hamming_product(const ebm_lattice_t *L, int64_t begin, int64_t end, int64_t width,
                            const double *x, double *y)
{
    for (int64_t k = 0; k < (end - begin) * width; k++)
        y[k] = L->self_loop ? x[begin * width + k] : 0.0;
    for (int64_t axis = 0; axis < L->n_axes; axis++) {
        const int64_t length = L->length[axis], stride = L->stride[axis];
        for (int64_t i = begin; i < end;) {
            const int64_t digit = digit_of(L, axis, i);
            const double *in = x + i * width;
            double *out = y + (i - begin) * width;
            if (i % (stride * length) == 0 && i + stride * length <= end) {
                add_whole_fibres(length, stride * width, stride * width, in, out);
                i += stride * length;
            } else {
                const int64_t stop = run_end(L, axis, digit, i, end);
                add_other_digits(length, stride * width, digit, (stop - i) * width, in, out);
                i = stop;
            }
        }
    }
}

int ebm_lattice_product(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                        double *y)
{
    const ebm_lattice_t *L = ctx;
    if (L->is_cyclic) torus_product(L, begin, end, width, x, y);
    else if (is_cube(L)) cube_product(L, begin, end, width, x, y);
    else hamming_product(L, begin, end, width, x, y);
    return EBM_OK;
}

/* Non-negative numbers beyond the range of a double: value 2^(512 exponent), where value is 0 or
   normalised to [2^-256, 2^256). Sums and products of them are as accurate as those of doubles. */
#ifndef FASTEBM_BASE_WIDE_H
#define FASTEBM_BASE_WIDE_H

#include <math.h>
#include <stdint.h>

typedef struct ebm_wide {
    double value;
    int32_t exponent;
} ebm_wide_t;

static inline ebm_wide_t ebm_wide_of(double value, int32_t exponent)
{
    ebm_wide_t x = {value, exponent};
    while (x.value >= 0x1p256 && x.value < INFINITY) x.value *= 0x1p-512, x.exponent++;
    while (x.value < 0x1p-256 && x.value > 0.0) x.value *= 0x1p512, x.exponent--;
    return x;
}

/* Numbers whose exponents differ by two or more have a ratio of at least 2^512. */
static inline ebm_wide_t ebm_wide_sum(ebm_wide_t x, ebm_wide_t y)
{
    if (y.value == 0.0) return x;
    if (x.value == 0.0) return y;
    const int32_t more = y.exponent - x.exponent;
    if (more == 0) return ebm_wide_of(x.value + y.value, x.exponent);
    if (more > 0) return more > 1 ? y : ebm_wide_of(y.value + x.value * 0x1p-512, y.exponent);
    return more < -1 ? x : ebm_wide_of(x.value + y.value * 0x1p-512, x.exponent);
}

/* x a, 0 <= a */
static inline ebm_wide_t ebm_wide_times(ebm_wide_t x, double a)
{
    return a < 0x1p-512 ? ebm_wide_of(x.value * (a * 0x1p512), x.exponent - 1)
                        : ebm_wide_of(x.value * a, x.exponent);
}

/* x / a, 0 < a */
static inline ebm_wide_t ebm_wide_over(ebm_wide_t x, double a)
{
    return a < 0x1p-512 ? ebm_wide_of(x.value / (a * 0x1p512), x.exponent + 1)
                        : ebm_wide_of(x.value / a, x.exponent);
}

#endif

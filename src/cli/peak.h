/* peak.h -- what this machine could do at best: f32 multiply-adds and reading from main memory, both with all
 * threads that the host back end uses.  The measure for `clattn bench`'s shares. */
#ifndef CA_CLI_PEAK_H
#define CA_CLI_PEAK_H

struct peak {
    double gflops;         /* f32, a multiply-add counts as 2 */
    double gbytes_per_s;   /* reading an array much larger than the caches */
    int threads;
};

/* Measures for about 0.2 s and keeps the better of the new and the old figures: others may disturb.  P is
 * zeroed before the first call.  Without memory for the array the bandwidth stays 0. */
void ca_peak_measure(struct peak *p);

#endif

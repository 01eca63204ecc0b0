/* bench/onednn.h - the peer: oneDNN on plain layouts, its instruction set held to AVX2. */
#ifndef CBN_BENCH_ONEDNN_H
#define CBN_BENCH_ONEDNN_H

#include "bench/measure.h"

#include <convbn/operator.h>

/* A forward convolution of dense NCHW tensors, primitive created beforehand; NULL if oneDNN is not part of this build
 * or refuses. The tensors must outlive it. */
typedef struct bench_peer bench_peer;
bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                            const cbn_tensor *bias, const cbn_tensor *output);

bool bench_peer_run(void *peer);
void bench_peer_close(bench_peer *peer);

/* "oneDNN 2.6.3", or NULL without it. Call before the first peer: it also holds the instruction set. */
const char *bench_peer_name(void);

#endif

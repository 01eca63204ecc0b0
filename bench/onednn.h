/* bench/onednn.h - the peer: oneDNN on plain layouts, its instruction set held to AVX2. */
#ifndef CBN_BENCH_ONEDNN_H
#define CBN_BENCH_ONEDNN_H

#include "bench/measure.h"

#include <convbn/operator.h>

/* A convolution of dense NCHW tensors in any direction but the bias' gradient, primitive created beforehand; NULL if
 * oneDNN is not part of this build or refuses. `tensor` has the call's tensors by role; they must outlive it. */
typedef struct bench_peer bench_peer;
bench_peer *bench_peer_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT]);

bool bench_peer_run(void *peer);
void bench_peer_close(bench_peer *peer);

/* "oneDNN 2.6.3", or NULL without it. Call before the first peer: it also holds the instruction set. */
const char *bench_peer_name(void);

#endif

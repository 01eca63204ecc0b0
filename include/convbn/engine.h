/* convbn/engine.h - everything an engine under test needs to see: tensors, the two operators, the plug-in interface.
 *
 * One header without any dependency of ours; copy it beside your kernel if you like. Usable from C and C++.
 *
 * An engine is a shared object that exports one function, `cbn_engine_open` (below). The program loads it into a
 * process of its own, asks what it can do, and hands it one problem at a time; the engine may crash, hang or exhaust
 * memory without harm to the run.
 *
 * Compatibility: every struct that may grow begins with its own size in bytes. A side that knows fewer fields reads the
 * fields it knows; a field beyond the size that the other side states has its zero value. The ABI number changes only
 * when that is not enough.
 */
#ifndef CONVBN_ENGINE_H
#define CONVBN_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CBN_ABI_VERSION 1
#define CBN_MAX_SPATIAL 3
#define CBN_MAX_RANK 5

/* ---------------------------------------------------------------------------------------------------- tensors */

/* Element types: IEEE 754 binary32, binary64, binary16, and bfloat16 (the upper half of a binary32). */
enum cbn_type { CBN_F32 = 0, CBN_F64 = 1, CBN_F16 = 2, CBN_BF16 = 3 };

/* A strided view of memory that somebody else owns. Extents are logical, in the order (N, C, spatial...) for
 * activations and (out, in/groups, kernel...) for convolution weights, (in, out/groups, kernel...) for transposed ones,
 * whatever the strides: NCHW and NHWC differ in `stride` only. Strides count elements. */
typedef struct cbn_tensor {
  int32_t type; /* enum cbn_type */
  int32_t rank; /* 1 to CBN_MAX_RANK */
  int64_t extent[CBN_MAX_RANK];
  int64_t stride[CBN_MAX_RANK];
  void *data; /* the element with all indices zero; NULL allowed where there is no element */
} cbn_tensor;

/* What a tensor is for. The order is part of the ABI; new roles go to the end. */
#define CBN_ROLES(X)                                                                                                   \
  X(INPUT, input)                                                                                                      \
  X(WEIGHT, weight)                                                                                                    \
  X(BIAS, bias)                                                                                                        \
  X(RUNNING_MEAN, running_mean)                                                                                        \
  X(RUNNING_VAR, running_var)                                                                                          \
  X(GRAD_OUTPUT, grad_output)                                                                                          \
  X(OUTPUT, output)                                                                                                    \
  X(GRAD_INPUT, grad_input)                                                                                            \
  X(GRAD_WEIGHT, grad_weight)                                                                                          \
  X(GRAD_BIAS, grad_bias)

enum cbn_role {
#define CBN_ROLE_ENUM(NAME, name) CBN_ROLE_##NAME,
  CBN_ROLES(CBN_ROLE_ENUM)
#undef CBN_ROLE_ENUM
      CBN_ROLE_COUNT
};

/* -------------------------------------------------------------------------------------------------- operators */

enum cbn_direction {
  CBN_FORWARD = 0,
  CBN_GRAD_INPUT = 1,  /* of a batch normalization: all its gradients */
  CBN_GRAD_WEIGHT = 2,
  CBN_GRAD_BIAS = 3
};

/* What stands outside the input. As numpy.pad and torch.nn.functional.pad name them; replicate is "edge", circular is
 * "wrap"; reflect does not repeat the edge element. */
enum cbn_padding_mode { CBN_PAD_ZEROS = 0, CBN_PAD_REFLECT = 1, CBN_PAD_REPLICATE = 2, CBN_PAD_CIRCULAR = 3 };

/* Convolution (cross-correlation, as every framework defines it), of one to three spatial axes:
 *
 *   y[n,o,p] = b[o] + sum over c, t of w[o,c,t] * x~[n, g(o)*C + c, p*stride + t*dilation - pad_begin]
 *
 * where C = in_channels/groups, g(o) = o div (out_channels/groups), and x~ is x extended by the padding mode, after
 * input_dilation - 1 zeros have been put between neighbours. Along an axis of extent I, with I' =
 * (I-1)*input_dilation + 1 (0 for I = 0), the output has max(0, floor((I' + pad_begin + pad_end -
 * dilation*(kernel-1) - 1) / stride) + 1) elements. Negative padding crops.
 *
 * Transposed: the adjoint of the above with respect to x, where this `input` plays the part of y; its output extent
 * is (I-1)*stride - pad_begin - pad_end + dilation*(kernel-1) + output_padding + 1 (0 for I = 0, and never less),
 * its weight (in, out/groups, kernel...); input_dilation is 1.
 *
 * Gradients are described by the forward problem; `direction` says which is asked for. With g = grad_output, of the
 * output's extents, each is the derivative of sum(y * g), in other words the adjoint of the linear map from that tensor
 * to y, applied to g:
 *
 *   GRAD_INPUT    grad_output, weight -> grad_input:  sum of w[o,c,t] * g[n,o,p] over all o, t, p that read x[n,c,i]
 *   GRAD_WEIGHT   input, grad_output -> grad_weight:  sum of x~[n,c,q] * g[n,o,p] over all n, p; q as above
 *   GRAD_BIAS     grad_output -> grad_bias:           sum of g[n,o,p] over all n, p
 *
 * and the same with the parts of x and y exchanged for a transposed convolution. Arrays have one entry for each spatial
 * axis, outermost first (D, H, W); entries beyond spatial_rank are zero.
 *
 * All tensors of a convolution have one type. */
typedef struct cbn_conv {
  uint32_t struct_size;
  int32_t spatial_rank; /* 1 to CBN_MAX_SPATIAL */
  int32_t direction;    /* enum cbn_direction */
  int32_t transposed;   /* 0 or 1 */
  int32_t padding_mode; /* enum cbn_padding_mode */
  int32_t has_bias;     /* 0 or 1 */
  int64_t batch, in_channels, out_channels, groups;
  int64_t input[CBN_MAX_SPATIAL]; /* extents */
  int64_t kernel[CBN_MAX_SPATIAL];
  int64_t stride[CBN_MAX_SPATIAL];
  int64_t dilation[CBN_MAX_SPATIAL];
  int64_t input_dilation[CBN_MAX_SPATIAL];
  int64_t pad_begin[CBN_MAX_SPATIAL];
  int64_t pad_end[CBN_MAX_SPATIAL];
  int64_t output_padding[CBN_MAX_SPATIAL]; /* transposed only */
} cbn_conv;

enum cbn_statistics { CBN_STATISTICS_BATCH = 0, CBN_STATISTICS_RUNNING = 1 };
enum cbn_variance { CBN_VARIANCE_BIASED = 0, CBN_VARIANCE_UNBIASED = 1 };

/* Batch normalization of an (N, C, spatial...) tensor with 0 to 3 spatial axes (Ioffe and Szegedy 2015):
 *
 *   y = (x - mean_c) / sqrt(var_c + epsilon) * weight_c + bias_c
 *
 * with the batch's mean and biased variance over N and the spatial axes, or with the running statistics. Afterwards,
 * if `update_running`, each running statistic becomes (1 - new_weight) * running + new_weight * batch statistic, the
 * batch variance taken biased (divisor L) or unbiased (divisor L - 1, so NaN for L = 1), L = values a channel. An
 * empty batch (L = 0) has no statistics: what the running ones become is not defined. A cumulative average is the
 * caller's: new_weight = 1/k in the k-th step. running_mean and running_var are updated in place.
 *
 * Backward (direction GRAD_INPUT; Ioffe and Szegedy 2015, section 3): input, weight, grad_output = g and, where they
 * normalised, the running statistics -> grad_input, grad_weight and grad_bias, the last two where the problem has
 * weight and bias. With z = (x - mean_c) / sqrt(var_c + epsilon), sums over a channel's L values:
 *
 *   grad_bias = sum g,   grad_weight = sum g z,
 *   grad_input = weight_c / sqrt(var_c + epsilon) * (g - sum g / L - z * sum(g z) / L)   with the batch's statistics,
 *   grad_input = weight_c / sqrt(var_c + epsilon) * g                                    with the running ones.
 *
 * `update_running` is 0 then. Input, output and their gradients have one type; weight, bias, statistics and their
 * gradients one type, the same or, where the input is f16 or bf16, f32. */
typedef struct cbn_batchnorm {
  uint32_t struct_size;
  int32_t spatial_rank;     /* 0 to CBN_MAX_SPATIAL */
  int32_t direction;        /* CBN_FORWARD, CBN_GRAD_INPUT */
  int32_t statistics;       /* enum cbn_statistics: which ones normalise */
  int32_t update_running;   /* 0 or 1 */
  int32_t running_variance; /* enum cbn_variance: how the batch variance enters the running one */
  int32_t has_weight;       /* 0: weight is 1 */
  int32_t has_bias;         /* 0: bias is 0 */
  int64_t batch, channels;
  int64_t extent[CBN_MAX_SPATIAL];
  double epsilon;
  double new_weight;
} cbn_batchnorm;

/* ---------------------------------------------------------------------------------------------------- engines */

/* The operators, one list. */
#define CBN_OPERATORS(X)                                                                                               \
  X(CONV, conv, "convolution")                                                                                         \
  X(BATCHNORM, batchnorm, "batch normalization")

enum cbn_operator {
#define CBN_OPERATOR_ENUM(NAME, name, words) CBN_OPERATOR_##NAME,
  CBN_OPERATORS(CBN_OPERATOR_ENUM)
#undef CBN_OPERATOR_ENUM
      CBN_OPERATOR_COUNT
};

/* What an engine may answer. UNSUPPORTED: outside what the engine is made for. REJECTED: the engine holds the problem
 * to be invalid. ERROR: it should have worked and did not (no memory, say). */
enum cbn_status { CBN_OK = 0, CBN_UNSUPPORTED = 1, CBN_REJECTED = 2, CBN_ERROR = 3 };

/* What an engine declares of its arithmetic: ways that depart from IEEE sums and products in the working type and
 * widen the error bound, and ways more exact than most that narrow it. Bits of cbn_engine.arithmetic; 0 is plain IEEE
 * arithmetic in the working type: f64 for f64, f32 for all others, or wider, results rounded once to their type. */
#define CBN_ARITHMETIC_CLASSES(X)                                                                                      \
  /* wider: inputs and results below the working type's smallest normal count as zero */                               \
  X(FLUSHES_SUBNORMALS, 0, "flushes-subnormals")                                                                       \
  /* narrower: batch statistics are sums divided by L, not Welford's updates */                                        \
  X(TWO_PASS_STATISTICS, 1, "two-pass-statistics")                                                                     \
  /* wider: f16 and bf16 are summed in their own type, not in f32; parameters in f32 stay in f32 */                     \
  X(NARROW_SUMS, 2, "narrow-sums")                                                                                     \
  /* wider: a convolution's f32 factors are rounded or cut to 11 significant bits before they are multiplied */        \
  X(TF32_PRODUCTS, 3, "tf32-products")                                                                                 \
  /* wider: ... to 8 significant bits */                                                                               \
  X(BF16_PRODUCTS, 4, "bf16-products")

enum cbn_arithmetic {
#define CBN_ARITHMETIC_ENUM(NAME, bit, name) CBN_##NAME = 1 << bit,
  CBN_ARITHMETIC_CLASSES(CBN_ARITHMETIC_ENUM)
#undef CBN_ARITHMETIC_ENUM
};

/* What an engine can do that a call may ask for only then. Bits of cbn_engine.abilities. */
enum cbn_ability {
  CBN_IN_PLACE = 1 << 0 /* a batch normalization's output may be its input, grad_input its grad_output: the same view */
};

/* One problem. `tensor[role]` is NULL for a role that the problem does not have. Inputs must not be written; every
 * element of every output must be; running statistics are updated in place, if at all. Buffers do not overlap, except
 * as CBN_IN_PLACE says, and each begins at a multiple of 64 bytes. Calls come one at a time, in the default
 * floating-point environment. */
typedef struct cbn_call {
  uint32_t struct_size;
  int32_t operator_kind;       /* enum cbn_operator: which of the two below is not NULL */
  const cbn_conv *conv;
  const cbn_batchnorm *batchnorm;
  const cbn_tensor *tensor[CBN_ROLE_COUNT];
  int32_t threads;             /* how many threads the engine may use, at least 1 */
  uint32_t message_size;
  char *message;               /* where a status other than CBN_OK is explained, NUL-terminated */
} cbn_call;

typedef struct cbn_engine cbn_engine;
struct cbn_engine {
  uint32_t struct_size;
  uint32_t abi;                /* CBN_ABI_VERSION of the header that the engine was compiled with */
  const char *name;            /* "fast" */
  const char *version;         /* of the implementation, as its users know it */
  const char *description;     /* one line: what runs (instruction set, library), for reports */
  uint32_t arithmetic;         /* enum cbn_arithmetic bits */
  void *state;                 /* the engine's own */
  /* Computes the problem or says why not: CBN_OK, CBN_UNSUPPORTED, CBN_REJECTED or CBN_ERROR. Required. */
  int (*run)(cbn_engine *engine, cbn_call *call);
  /* Forgets whatever earlier calls left (caches, plans). Optional. */
  void (*reset)(cbn_engine *engine);
  /* Releases the engine. Optional. */
  void (*close)(cbn_engine *engine);
  uint32_t abilities;          /* enum cbn_ability bits */
};

/* The one symbol that an engine exports. `abi` is the caller's CBN_ABI_VERSION, `options` a text from the command line
 * (`--engine ./mine.so:OPTIONS`), empty by default. Returns NULL where the engine cannot serve that caller or does not
 * understand the options, which live as long as the process. */
#if defined(_WIN32)
#define CBN_EXPORT __declspec(dllexport)
#else
#define CBN_EXPORT __attribute__((visibility("default")))
#endif
CBN_EXPORT cbn_engine *cbn_engine_open(uint32_t abi, const char *options);

#ifdef __cplusplus
}
#endif
#endif

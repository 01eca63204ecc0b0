/* Convolutions and batch normalizations of an ONNX file (onnx.proto's ModelProto), as layers with their weights.
 *
 * Files are hostile input. The wire format is read by a small parser of its own: every length is held against what is
 * left before it is followed, nothing is allocated before its size is known to be in the file, and there is no
 * recursion: what a node has in subgraphs (the branches of If, the body of Loop) and the model's own functions are not
 * listed. Data that lie in other files are refused by name. */
#ifndef CBN_MIGRATION_ONNX_FILE_H
#define CBN_MIGRATION_ONNX_FILE_H

#include "core/error.h"
#include "migration/layer.h"

typedef struct cbn_onnx_node_info {
  char name[128]; /* the node's, or that of its first output; a longer one ends with "..." */
  char operator_type[32];
  bool known;                        /* one of the dialect onnx; what follows is set then */
  cbn_layer layer;                   /* params with the model's opset; shapes of its tensors, where they are stated */
  cbn_tensor tensor[CBN_ROLE_COUNT]; /* initializers and Constant nodes, in the arena; rank 0 where an input is none */
  bool trains;                       /* a batch normalization whose new statistics are outputs, too */
  bool has_input;                    /* the graph states the input's shape */
  cbn_shape input;                   /* -1 where an extent is symbolic */
  int32_t input_type;                /* enum cbn_type, as stated, else of the weight; -1 where neither is known */
} cbn_onnx_node_info;

typedef struct cbn_onnx_file {
  int64_t opset; /* of the standard operators; 0 in a model without one */
  size_t count;
  cbn_onnx_node_info *nodes; /* in the file's order, every node of the graph */
} cbn_onnx_file;

/* Reads the file; all that it gives lives in the arena. False with one line, `FILE: byte N: what is wrong`. */
bool cbn_onnx_file_read(const char *path, cbn_arena *arena, cbn_onnx_file *file, cbn_error *error);
bool cbn_onnx_file_parse(const char *name, const void *bytes, size_t size, cbn_arena *arena, cbn_onnx_file *file,
                         cbn_error *error);

#endif

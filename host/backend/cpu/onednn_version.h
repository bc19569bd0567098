/* onednn_version.h - oneDNN's C interface of 2.x and 3.x under one set of names.
 *
 * 2.x passes memory descriptors by value and describes an operation before it is planned; 3.x has
 * handles for the former and nothing of the latter.  Included through onednn_context.h. */
#ifndef SP_CPU_ONEDNN_VERSION_H
#define SP_CPU_ONEDNN_VERSION_H

#include <oneapi/dnnl/dnnl.h>

#define DNNL_TRY(call)                   \
  do {                                   \
    dnnl_status_t dnnl_status_ = (call); \
    if (dnnl_status_ != dnnl_success) {  \
      return dnnl_status_;               \
    }                                    \
  } while (0)

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_view;
#define MD_VIEW(md) (md)

static inline void md_release(dnnl_memory_desc_t md) {
  if (md) {
    dnnl_memory_desc_destroy(md);
  }
}

static inline dnnl_status_t md_init(dnnl_memory_desc_t *md, const dnnl_dims_t dims, dnnl_data_type_t type,
                             dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(md, 2, dims, type, tag);
}

static inline dnnl_status_t plan_create(dnnl_primitive_desc_t *plan, dnnl_engine_t engine, md_view in,
                                 md_view weight, md_view bias, md_view out,
                                 const_dnnl_primitive_attr_t attr) {
  return dnnl_matmul_primitive_desc_create(plan, engine, in, weight, bias, out, attr);
}

static inline dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind) {
  return dnnl_post_ops_append_eltwise(ops, kind, 0.0f, 0.0f);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t md_copy(dnnl_memory_desc_t *to, md_view from) {
  return dnnl_memory_desc_clone(to, from);
}
#else
typedef const dnnl_memory_desc_t *md_view;
#define MD_VIEW(md) (&(md))

static inline void md_release(dnnl_memory_desc_t md) {
  (void)md;
}

static inline dnnl_status_t md_init(dnnl_memory_desc_t *md, const dnnl_dims_t dims, dnnl_data_type_t type,
                             dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(md, 2, dims, type, tag);
}

static inline dnnl_status_t plan_create(dnnl_primitive_desc_t *plan, dnnl_engine_t engine, md_view in,
                                 md_view weight, md_view bias, md_view out,
                                 const_dnnl_primitive_attr_t attr) {
  dnnl_matmul_desc_t op;
  DNNL_TRY(dnnl_matmul_desc_init(&op, in, weight, bias, out));
  return dnnl_primitive_desc_create(plan, &op, attr, engine, NULL);
}

static inline dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind) {
  return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, 0.0f, 0.0f);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1.0f);
}

static inline dnnl_status_t md_copy(dnnl_memory_desc_t *to, md_view from) {
  *to = *from;
  return dnnl_success;
}
#endif

#endif

/* train_kernels.c - the table of the trainer's own ops, of one instruction set. */
#include "train_kernels.h"

const struct sp_cpu_train_kernels SP_ISA_NAME(sp_cpu_train_kernels) = {
    .tiles = &SP_ISA_NAME(sp_cpu_train_tiles),
    .portable = &SP_ISA_NAME(sp_product_portable),
    .embed = SP_ISA_NAME(sp_cpu_train_embed),
    .segment_add = SP_ISA_NAME(sp_cpu_train_segment_add),
    .gather = sp_cpu_train_gather,
    .add_norm = SP_ISA_NAME(sp_cpu_train_add_norm),
    .add_norm_backward = SP_ISA_NAME(sp_cpu_train_add_norm_backward),
    .attention = SP_ISA_NAME(sp_cpu_train_attention),
    .attention_backward = SP_ISA_NAME(sp_cpu_train_attention_backward),
    .soften = sp_cpu_train_soften,
    .soften_backward = sp_cpu_train_soften_backward,
    .adamw = SP_ISA_NAME(sp_cpu_train_adamw),
    .square_sum = SP_ISA_NAME(sp_cpu_train_square_sum),
};

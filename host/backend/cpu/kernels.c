/* kernels.c - the table of one instruction set. */
#include "kernels.h"

#include "train_kernels.h"

#define SP_TEXT_OF_(x) #x
#define SP_TEXT_OF(x) SP_TEXT_OF_(x)

const struct sp_cpu_kernels SP_ISA_NAME(sp_cpu_kernels) = {
#if defined(__ARM_NEON)
    .isa = "neon", /* the baseline there: fused multiply-add, other bits than SSE2's */
#else
    .isa = SP_TEXT_OF(SP_ISA),
#endif
    .train = &SP_ISA_NAME(sp_cpu_train_kernels),
    .portable = &SP_ISA_NAME(sp_gemm_portable),
    .activate = SP_ISA_NAME(sp_cpu_activate),
    .attention = SP_ISA_NAME(sp_cpu_attention),
    .embed = SP_ISA_NAME(sp_cpu_embed),
    .add_norm = SP_ISA_NAME(sp_cpu_add_norm),
    .vocab_logp = SP_ISA_NAME(sp_cpu_vocab_logp),
};

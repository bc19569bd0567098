/* train_cpu.h - the CPU's table of train.h, and the functions of trainer.c that stand in it. */
#ifndef SP_CPU_TRAIN_CPU_H
#define SP_CPU_TRAIN_CPU_H

#include "train.h"

extern const struct sp_train_backend sp_cpu_train;

enum sp_status sp_cpu_train_open(struct sp_device *device, const struct sp_train_limits *limits,
                                 struct sp_trainer **out, struct sp_error *err);
void sp_cpu_train_close(struct sp_trainer *trainer);
/* Up and down. */
enum sp_status sp_cpu_train_copy(struct sp_trainer *trainer, void *to, const void *from,
                                 size_t bytes, struct sp_error *err);
enum sp_status sp_cpu_train_fill_zero(struct sp_trainer *trainer, void *data, size_t bytes,
                                      struct sp_error *err);
enum sp_status sp_cpu_train_finish(struct sp_trainer *trainer, struct sp_error *err);

#endif

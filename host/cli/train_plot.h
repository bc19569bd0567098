/* train_plot.h - the losses of a training run as a picture. */
#ifndef SP_CLI_TRAIN_PLOT_H
#define SP_CLI_TRAIN_PLOT_H

#include "status.h"

/* Reads DIR/steps.jsonl and writes an SVG: the training loss, a point a step and its moving mean, and the
 * held-out loss. SP_EDAMAGED where a line is none of ours. */
SP_MUST_CHECK enum sp_status sp_train_plot(const char *directory, const char *path,
                                           struct sp_error *err);

#endif

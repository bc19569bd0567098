/* rewrite_model FROM OUT [bf16] [cls]: a model directory through the parameters of training and
 * out again, for the live oracle; cls adds a new head. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_write.h"

static enum sp_status write_again(const struct sp_checkpoint *model, const char *from,
                                  const char *out, bool bf16, bool cls, struct sp_error *err) {
  struct sp_params *params = NULL;
  char config[4096], fresh[256];
  float *values = NULL;
  enum sp_status status;
  SP_TRY_GOTO(sp_params_create(&model->config, model->has_mlm, model->has_cls || cls,
                               model->has_cls ? &model->cls : NULL, &params, err),
              release);
  values = malloc(params->count * sizeof *values);
  if (!values) {
    status = sp_fail_memory(err, params->count * sizeof *values);
    goto release;
  }
  sp_params_init(params, 1, 0.02f, 1.0f, values);
  SP_TRY_GOTO(sp_params_load(params, model, NULL, values, fresh, sizeof fresh, err), release);
  snprintf(config, sizeof config, "%s/config.json", from);
  struct sp_model_content content = {.params = params,
                                     .values = values,
                                     .dtype = bf16 ? SP_BF16 : SP_F32,
                                     .config_from = config,
                                     .tokenizer_from = from};
  status = sp_model_write(out, &content, err);
release:
  free(values);
  sp_params_destroy(params);
  return status;
}

int main(int argc, char **argv) {
  struct sp_checkpoint *model = NULL;
  struct sp_error err = {0};
  bool bf16 = false, cls = false;
  if (argc < 3) {
    fprintf(stderr, "usage: rewrite_model FROM OUT [bf16] [cls]\n");
    return 2;
  }
  for (int i = 3; i < argc; i++) {
    bf16 |= strcmp(argv[i], "bf16") == 0;
    cls |= strcmp(argv[i], "cls") == 0;
  }
  enum sp_status status = sp_checkpoint_open(argv[1], &model, &err);
  if (status == SP_OK) {
    status = write_again(model, argv[1], argv[2], bf16, cls, &err);
  }
  if (status != SP_OK) {
    fprintf(stderr, "%s\n", err.message);
  }
  sp_checkpoint_close(model);
  return status == SP_OK ? 0 : 1;
}

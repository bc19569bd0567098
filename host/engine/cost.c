#include "cost.h"

#include "forward.h"
#include "score_line.h"

double sp_cost_of_hyp(const struct sp_model_config *config, unsigned methods, uint64_t tokens) {
  if (tokens == 0) {
    return 0;
  }
  double n = (double)tokens, len = n + 2;
  double sequences = 0, rows = 0, mlm_rows = 0;
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (methods >> m & 1u) {
      bool one_pass = m == SP_CLS || m == SP_MASKLESS;
      sequences += one_pass ? 1 : n;
      rows += m == SP_CLS ? 1 : n;
      mlm_rows += m == SP_CLS ? 0 : n;
    }
  }
  return sp_forward_flops(config, SP_SAVING_ALL, sequences * len, sequences * len * len, rows,
                          mlm_rows);
}

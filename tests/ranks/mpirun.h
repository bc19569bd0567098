// mpirun.h - starts processes as ranks of one job on this machine.
#ifndef SP_TESTS_RANKS_MPIRUN_H
#define SP_TESTS_RANKS_MPIRUN_H

#include <string>

#include "program.h"

namespace sp_test {

// More ranks than processors, also as root, all unbound; for Open MPI 4 and 5. Others ignore these.
inline const char *MpiEnvironment() {
  return "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
         "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none "
         "OMPI_MCA_btl_vader_single_copy_mechanism=none "
         "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe "
         "PRTE_MCA_hwloc_default_binding_policy=none; ";
}

// `applications` is what mpirun takes: "-n 2 PROGRAM .. : -n 1 PROGRAM ..". It must end by itself.
inline Said Mpirun(const std::string &applications, const std::string &environment = "") {
  return Shell(MpiEnvironment() + environment + " timeout -k 5 300 '" SP_MPIEXEC "' " +
               applications);
}

}  // namespace sp_test
#endif

// mpirun.h - starts processes as ranks of one job on this machine.
#ifndef SP_TESTS_RANKS_MPIRUN_H
#define SP_TESTS_RANKS_MPIRUN_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "program.h"
#include "scratch.h"

namespace sp_test {

// More ranks than processors, also as root, all unbound; for Open MPI 4 and 5. Others ignore these.
inline const char *MpiEnvironment() {
  return "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
         "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none "
         "OMPI_MCA_btl_vader_single_copy_mechanism=none "
         "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe "
         "PRTE_MCA_hwloc_default_binding_policy=none; ";
}

// What of mpirun's "-n 2 PROGRAM .. : -n 1 PROGRAM .." makes one application, a script in `scratch` that knows its
// rank: mpirun of Debian 13 (Open MPI 5.0.7) dies of a colon by SIGSEGV.
inline std::string OneApplication(const std::string &applications, const Scratch &scratch) {
  std::string script = "rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\n";
  long ranks = 0;
  for (size_t at = 0, end; at < applications.size(); at = end + 3) {
    end = std::min(applications.find(" : ", at), applications.size());
    const std::string one = applications.substr(at, end - at);
    char *command;
    EXPECT_EQ(one.compare(0, 3, "-n "), 0) << one;
    ranks += std::strtol(one.c_str() + 3, &command, 10);
    script += "[ \"$rank\" -ge " + std::to_string(ranks) + " ] || exec" + command + "\n";
  }
  WriteFile(scratch / "ranks.sh", script);
  return "-n " + std::to_string(ranks) + " sh " + (scratch / "ranks.sh");
}

// `applications` is what mpirun takes: "-n 2 PROGRAM .. : -n 1 PROGRAM ..". It must end by itself.
inline Said Mpirun(const std::string &applications, const std::string &environment = "") {
  Scratch scratch;
  return Shell(MpiEnvironment() + environment + "export SP; timeout -k 5 300 '" SP_MPIEXEC "' " +
               OneApplication(applications, scratch));
}

}  // namespace sp_test
#endif

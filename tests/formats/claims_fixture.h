// claims_fixture.h - workers of one run directory in one process, and others' files made by hand.
#ifndef SP_TESTS_FORMATS_CLAIMS_FIXTURE_H
#define SP_TESTS_FORMATS_CLAIMS_FIXTURE_H

#include <memory>

#include "child.h"
#include "run_claims.h"
#include "run_fixture.h"
#include "run_worker.h"

namespace sp_test {

struct CloseClaims {
  void operator()(sp_claims *claims) const {
    sp_claims_close(claims);
  }
};
using Claims = std::unique_ptr<sp_claims, CloseClaims>;

constexpr double kLease = 10.0;

inline double ReadClock(void *clock) {
  return *static_cast<double *>(clock);
}

// Waiting costs no time but that of the clock it is given.
inline bool Pause(void *clock, double seconds) {
  *static_cast<double *>(clock) += seconds;
  return true;
}

inline sp_status OpenClaims(const std::string &run, double *clock, Claims *out, sp_error *err,
                            double lease = kLease) {
  sp_claims_rules rules{};
  rules.run = run.c_str();
  rules.part = "2/8";
  rules.lease = lease;
  rules.clock = ReadClock;
  rules.pause = Pause;
  rules.context = clock;
  sp_claims *claims = nullptr;
  sp_status status = sp_claims_open(&rules, &claims, err);
  out->reset(claims);
  return status;
}

// The file of a worker on a host that is not this one; nothing of it locks here.
struct Remote {
  std::string run, id;
  sp_worker worker{};

  Remote(const std::string &in, const std::string &name) : run(in), id(name) {
    snprintf(worker.owner.host, sizeof worker.owner.host, "elsewhere.example");
    snprintf(worker.owner.start, sizeof worker.owner.start, "2026-01-02T03:04:05Z");
    snprintf(worker.owner.mount, sizeof worker.owner.mount, "another-kernel/1f");
    worker.owner.pid = 4711;
    worker.flocked = true;
    worker.lease = kLease;
    std::filesystem::create_directory(run + "/.claims");
    Write();
  }
  void Write() const {
    sp_buf text{};
    sp_error err{};
    EXPECT_SP_OK(sp_worker_write(&worker, &text, &err));
    RenewFile(run + "/.claims/worker-" + id, std::string(text.data, text.len));
    sp_buf_release(&text);
  }
  void Beat() {
    worker.beat++;
    Write();
  }
  void Claim(const std::string &name) const {
    WriteFile(run + "/.claims/" + name, id + "\n");
  }
};

// A child that has claimed the shards below `shards` and waits to be ended.
inline std::unique_ptr<Child> StartHolder(const std::string &run, size_t shards) {
  const std::string ready = run + "/.ready";
  std::filesystem::remove(ready);
  auto child = std::make_unique<Child>([&] {
    double clock = 0;
    sp_error err{};
    Claims claims;
    sp_claim claim;
    bool took_over;
    if (OpenClaims(run, &clock, &claims, &err) != SP_OK) {
      return 1;
    }
    for (size_t shard = 0; shard < shards; shard++) {
      if (sp_claims_take(claims.get(), shard, &claim, &took_over, &err) != SP_OK ||
          claim != SP_CLAIM_MINE) {
        return 2;
      }
    }
    WriteFile(ready, "x");
    for (;;) {
      pause();
    }
    return 0;
  });
  EXPECT_TRUE(Await(ready));
  return child;
}

// A run directory with claims alone, and the clock of all its workers.
class RunClaims : public ::testing::Test {
 protected:
  Claims Open(double lease = kLease) {
    Claims claims;
    EXPECT_SP_OK(OpenClaims(run_.path(), &clock_, &claims, &err, lease));
    return claims;
  }
  // 'm'ine, 'M'ine taken over, 'h'eld, 'd'one; 'x' for a failure.
  char Take(const Claims &claims, size_t shard) {
    sp_claim claim;
    bool took_over;
    err = {};
    if (sp_claims_take(claims.get(), shard, &claim, &took_over, &err) != SP_OK) {
      return 'x';
    }
    if (claim != SP_CLAIM_MINE) {
      return claim == SP_CLAIM_HELD ? 'h' : 'd';
    }
    return took_over ? 'M' : 'm';
  }
  // What is held is taken over when the lease that begins now is over, and not before.
  void ExpectHeldForALease(const Claims &claims, size_t shard) {
    EXPECT_EQ(Take(claims, shard), 'h');
    clock_ += kLease - 0.1;
    EXPECT_EQ(Take(claims, shard), 'h');
    clock_ += 0.2;
    EXPECT_EQ(Take(claims, shard), 'M');
  }
  std::string In(const std::string &name) const {
    return run_ / (".claims/" + name);
  }
  bool Has(const std::string &name) const {
    return std::filesystem::exists(In(name));
  }
  Scratch run_;
  double clock_ = 1000;
  sp_error err{};
};

}  // namespace sp_test
#endif

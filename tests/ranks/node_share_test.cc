// GPUs and processors of a node, shared by its ranks.
#include "node_share.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <tuple>
#include <vector>

namespace {

// GPUs as the host knows them, in the order in which the process sees them.
sp_node_gpus Gpus(size_t rank, size_t count, const std::vector<uint64_t> &ids) {
  sp_node_gpus gpus{};
  gpus.rank = rank;
  gpus.count = count;
  gpus.n = ids.size();
  for (size_t g = 0; g < ids.size(); g++) {
    gpus.gpus[g] = {ids[g], g};
  }
  sp_node_gpus_sort(&gpus);
  return gpus;
}

std::string Device(const sp_node_gpus &gpus, const char *asked) {
  char text[SP_NODE_DEVICE];
  const char *device = sp_node_device(&gpus, asked, text);
  return device ? device : "(none)";
}

std::string Device(size_t rank, size_t count, const char *asked, size_t n) {
  std::vector<uint64_t> ids(n);
  std::iota(ids.begin(), ids.end(), 7);
  return Device(Gpus(rank, count, ids), asked);
}

uint64_t Key(const std::vector<uint64_t> &ids) {
  sp_node_gpus gpus = Gpus(0, 1, ids);
  return sp_node_gpus_key(&gpus);
}

TEST(NodeShare, ARankAGpu) {
  for (size_t rank = 0; rank < 8; rank++) {
    EXPECT_EQ(Device(rank, 8, "cuda", 8), "cuda:" + std::to_string(rank));
  }
}

TEST(NodeShare, WhoAloneSeesItsGpusHasAll) {
  EXPECT_EQ(Device(0, 1, "cuda", 8), "cuda");
  EXPECT_EQ(Device(0, 1, "auto", 8), "auto");
}

TEST(NodeShare, OnlyThoseWhoSeeTheSameGpusShareThem) {
  EXPECT_EQ(Key({1, 2}), Key({2, 1}));
  EXPECT_NE(Key({1, 2}), Key({3, 4}));
  EXPECT_NE(Key({1}), Key({1, 2}));
  EXPECT_EQ(Key({}), 0u);
  EXPECT_NE(Key({0}), Key({}));
}

TEST(NodeShare, GpusAreDealtAsTheHostKnowsThem) {
  EXPECT_EQ(Device(Gpus(0, 2, {5, 3}), "cuda"), "cuda:1");  // 3
  EXPECT_EQ(Device(Gpus(1, 2, {3, 5}), "cuda"), "cuda:1");  // 5
  EXPECT_EQ(Device(Gpus(0, 2, {9, 8, 2, 1}), "cuda"), "cuda:1,3");
}

TEST(NodeShare, MoreGpusThanRanksAreDealt) {
  EXPECT_EQ(Device(0, 2, "cuda", 4), "cuda:0,2");
  EXPECT_EQ(Device(1, 2, "cuda", 4), "cuda:1,3");
  EXPECT_EQ(Device(0, 2, "cuda", 3), "cuda:0,2");
  EXPECT_EQ(Device(1, 2, "cuda", 3), "cuda:1");
  std::string all = Device(1, 2, "cuda", 64);
  EXPECT_EQ(all.substr(all.size() - 6), ",61,63");
}

TEST(NodeShare, MoreRanksThanGpusShareThem) {
  EXPECT_EQ(Device(5, 6, "cuda", 4), "cuda:1");
  EXPECT_EQ(Device(3, 4, "cuda", 1), "cuda:0");
}

TEST(NodeShare, AutoMeansGpusWhereThereAreAny) {
  EXPECT_EQ(Device(1, 2, "auto", 2), "cuda:1");
  EXPECT_EQ(Device(1, 2, "auto", 0), "auto");
}

TEST(NodeShare, WhatIsAskedForStands) {
  EXPECT_EQ(Device(1, 2, "cuda:0,1", 2), "cuda:0,1");
  EXPECT_EQ(Device(1, 2, "cpu", 2), "cpu");
  EXPECT_EQ(Device(1, 2, nullptr, 2), "(none)");
  EXPECT_EQ(Device(1, 2, "cuda", 0), "cuda");  // opening it has the message
}

TEST(NodeShare, HalfOfTheProcessorsIdleIsABinding) {
  sp_ranks ranks{};
  for (auto [cpus, allowed, bound] :
       {std::tuple{1, 2, true}, {1, 1, false}, {2, 64, true}, {33, 64, false}, {0, 64, false}}) {
    ranks.local_cpus = static_cast<size_t>(cpus);
    EXPECT_EQ(sp_node_is_bound(&ranks, static_cast<size_t>(allowed)), bound) << cpus;
  }
}

size_t Threads(size_t local_count, size_t local_cpus, size_t usable) {
  sp_ranks ranks{};
  ranks.local_count = local_count;
  ranks.local_cpus = local_cpus;
  return sp_node_threads(&ranks, usable);
}

TEST(NodeShare, BoundRanksUseWhatTheyHave) {
  EXPECT_EQ(Threads(4, 64, 16), 16u);
  EXPECT_EQ(Threads(2, 2, 1), 1u);
}

TEST(NodeShare, UnboundRanksShareTheProcessors) {
  EXPECT_EQ(Threads(4, 64, 64), 16u);
  EXPECT_EQ(Threads(3, 64, 64), 21u);
  EXPECT_EQ(Threads(4, 2, 2), 1u);
  EXPECT_EQ(Threads(1, 8, 8), 8u);
  EXPECT_EQ(Threads(4, 0, 8), 8u);  // unknown
}

}  // namespace

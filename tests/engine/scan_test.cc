// scan_test.cc - the first pass finds the same with any number of threads, and the same first error.
#include "scan.h"

#include <pthread.h>

#include <cinttypes>
#include <cstdio>
#include <memory>

#include "engine_fixture.h"
#include "scan_batch.h"
#include "scan_team.h"

namespace {

using namespace sp_test;

constexpr size_t kThreads[] = {1, 2, 3, 5};

// A few hundred lists, again and again under other ids.
std::string Lines(size_t utts) {
  Archive made = MakeArchive(500), archive;
  for (size_t u = 0; u < utts; u++)
    archive.push_back({"u" + std::to_string(u), made[u % made.size()].hyps});
  return ToJsonl(archive);
}

std::string Line(const std::string &id, const std::string &text) {
  return R"({"id":")" + id + R"(","hyps":[{"text":")" + text + "\"}]}\n";
}

std::string LongText() {
  std::string text;
  for (int i = 0; i < 200; i++)
    text += "ab ";
  return text;
}

// What a pass found, as text.
struct Found {
  sp_status status;
  std::string message, facts;
  size_t threads;
};

std::string Facts(const sp_scan &scan) {
  char line[400];
  const sp_counts &c = scan.counts;
  snprintf(line, sizeof line, "%d %d %zu files, longest %" PRIu64 "\n", scan.format,
           scan.letter_case, scan.n_files, scan.longest_tokens);
  std::string facts = line;
  for (uint64_t count :
       {c.utts, c.hyps, c.tokens, c.empty_lists, c.empty, c.too_long, c.truncated, c.no_vocab,
        c.unknown_tokens, c.special_in_text, c.without_ref, c.without_score})
    facts += std::to_string(count) + " ";
  for (size_t i = 0; i < scan.marks.n; i++) {
    const sp_plan_shard &m = scan.marks.mark[i];
    snprintf(line, sizeof line,
             "\n%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " | %" PRIu64
             " %" PRIu64 " %" PRIu64 " %a %" PRIx64,
             m.has_place, m.place.file, m.place.stored, m.place.raw, m.place.line, m.place.records,
             m.utts, m.hyps, m.tokens, m.cost, m.xxh64);
    facts += line;
  }
  return facts;
}

class Scan : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
  }
  std::string Write(const std::string &name, const std::string &bytes) {
    WriteFile(scratch_ / name, bytes);
    return scratch_ / name;
  }
  Found Run(const std::vector<std::string> &files, size_t threads) {
    std::vector<const char *> paths;
    for (const std::string &file : files)
      paths.push_back(file.c_str());
    sp_score_options options = options_;
    options.model = model_.c_str();
    options.archives = paths.data();
    options.n_archives = paths.size();
    options.threads = threads;
    sp_settings settings;
    sp_context context;
    sp_scan scan;
    sp_error err{};
    EXPECT_EQ(sp_settings_resolve(&options, &settings, &err), SP_OK) << err.message;
    EXPECT_EQ(sp_context_open_text(&settings, &context, &err), SP_OK) << err.message;
    Found found{};
    found.status = sp_scan_archive(&settings, &context, paths.data(), paths.size(), &scan, &err);
    found.message = found.status == SP_OK ? "" : err.message;
    found.facts = Facts(scan);
    found.threads = scan.threads;
    sp_scan_release(&scan);
    sp_context_close(&context);
    return found;
  }
  void ExpectSame(const std::vector<std::string> &files) {
    Found first = Run(files, kThreads[0]);
    EXPECT_EQ(first.status, SP_OK) << first.message;
    for (size_t threads : kThreads) {
      Found found = Run(files, threads);
      EXPECT_EQ(found.status, SP_OK) << found.message;
      EXPECT_EQ(found.facts, first.facts) << threads << " threads";
    }
  }
  void ExpectError(const std::string &bytes, const std::string &place, const std::string &part) {
    std::string file = Write("bad.jsonl", bytes);
    for (size_t threads : kThreads) {
      Found found = Run({file}, threads);
      EXPECT_EQ(found.status, SP_EINPUT);
      EXPECT_EQ(found.message.rfind(file + place, 0), 0u) << threads << ": " << found.message;
      EXPECT_NE(found.message.find(part), std::string::npos) << found.message;
    }
  }

  Scratch scratch_;
  std::string model_;
  sp_score_options options_{};
};

TEST_F(Scan, ThreadsFindTheSame) {
  std::string a = Write("a.jsonl", Lines(9000)), b = Write("b.jsonl", Line("last", "a b"));
  ExpectSame({a, b});
  Found many = Run({a, b}, 5);
  EXPECT_GT(many.threads, 0u);
  EXPECT_LE(many.threads, 5u);
  options_.shard_utts = 7;
  ExpectSame({a, b});
  options_.limit = 4100;
  options_.methods = "pll,cls,maskless";
  options_.on_long = "truncate";
  options_.eos = "z";
  ExpectSame({a, b});
}

TEST_F(Scan, CountsAreThoseOfTheTexts) {
  std::string bytes;
  for (int i = 0; i < 5000; i++)
    bytes += Line("i" + std::to_string(i), "a b c");
  Found found = Run({Write("a.jsonl", bytes)}, 3);
  EXPECT_NE(found.facts.find("\n5000 5000 15000 0 "), std::string::npos)
      << found.facts.substr(0, 99);
}

// More than a batch may hold, alone and between others.
TEST_F(Scan, LongUtterances) {
  std::string one = R"({"id":"long","hyps":[{"text":"a"})";
  for (int i = 0; i < 20000; i++)
    one += R"(,{"text":"a b cd e"})";
  one += "]}\n";
  ASSERT_GT(one.size(), SP_SCAN_BATCH_BYTES);
  std::string other = one, empty = R"({"id":"none","hyps":[]})"
                                   "\n";
  other.replace(other.find("long"), 4, "more");
  ExpectSame({Write("one.jsonl", one)});
  ExpectSame({Write("mixed.jsonl", Lines(3000) + one + other + empty + Line("z", "a"))});
}

TEST_F(Scan, TheFirstErrorOfTheArchiveIsTold) {
  options_.on_long = "error";
  std::string good;
  for (int i = 0; i < 6000; i++)
    good += Line("i" + std::to_string(i), "a b");
  const std::string long_one = Line("long", LongText()), broken = "{\"id\":\n";
  const std::string twice = Line("i7", "a"), long_twice = Line("i7", LongText());
  ExpectError(good + long_one + broken, ":6001:", "hypothesis 1 has");
  ExpectError(good + broken + long_one, ":6001:", "");
  ExpectError(good + long_one + twice, ":6001:", "hypothesis 1 has");
  ExpectError(good + twice + long_one, ":6001:", "'i7' occurs twice");
  ExpectError(good + long_twice, ":6001:", "'i7' occurs twice");
  ExpectError(long_one + good + broken, ":1:", "hypothesis 1 has");
  ExpectError(Line("a", LongText()) + Line("b", LongText()) + good, ":1:", "hypothesis 1 has");
  ExpectError(good + Line("a", "c") + Line("b", LongText()) + Line("c", LongText()),
              ":6002:", "hypothesis 1 has");
}

// The place is that of the text, though the reader is in the next file by then.
TEST_F(Scan, ErrorsOfAnEarlierFileNameIt) {
  options_.on_long = "error";
  std::string a = Write("a.jsonl", Line("a", "b") + Line("long", LongText()));
  std::string b = Write("b.jsonl", Lines(2000));
  for (size_t threads : kThreads) {
    Found found = Run({a, b}, threads);
    EXPECT_EQ(found.message.rfind(a + ":2: hypothesis 1 has", 0), 0u) << found.message;
  }
}

TEST_F(Scan, WithoutAnyThreadTheCallerDoesAll) {
  std::string a = Write("a.jsonl", Lines(9000));
  Found expected = Run({a}, 3);
  pthread_attr_t before, huge;
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  pthread_attr_init(&huge);
  pthread_attr_setstacksize(&huge, size_t{1} << 46);  // which no system has
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  Found found = Run({a}, 3);
  ASSERT_EQ(pthread_setattr_default_np(&before), 0);
  pthread_attr_destroy(&huge);
  pthread_attr_destroy(&before);
  EXPECT_EQ(found.threads, 0u) << "the system has stacks of 64 TiB";
  EXPECT_EQ(found.status, SP_OK) << found.message;
  EXPECT_EQ(found.facts, expected.facts);
}

struct Ticks {
  volatile int stop = 0;
  std::vector<sp_progress> told;
};

void StopAtOnce(void *context, const sp_progress *progress) {
  Ticks *ticks = static_cast<Ticks *>(context);
  ticks->told.push_back(*progress);
  ticks->stop = 1;
}

TEST_F(Scan, StopsWhenItIsToldTo) {
  size_t utts = 120000;
  std::string a = Write("a.jsonl", Lines(utts));
  Ticks ticks;
  options_.stop = &ticks.stop;
  options_.progress = StopAtOnce;
  options_.context = &ticks;
  for (size_t threads : kThreads) {
    ticks.told.clear();
    ticks.stop = 0;
    Found found = Run({a}, threads);
    while (found.status == SP_OK && utts < 4000000) {  // faster than the first tick
      utts *= 2;
      Write("a.jsonl", Lines(utts));
      found = Run({a}, threads);
    }
    EXPECT_EQ(found.status, SP_EINTERRUPTED) << found.message;
    ASSERT_EQ(ticks.told.size(), 1u);
    EXPECT_TRUE(ticks.told[0].validating);
    EXPECT_LT(ticks.told[0].utts_done, utts); /* 0 where no batch was looked at in that time */
  }
  ticks.stop = 1;
  EXPECT_EQ(Run({a}, 2).status, SP_EINTERRUPTED);
}

}  // namespace

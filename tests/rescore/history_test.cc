// The history of nights: written whole, read strictly, drift named.
#include "history.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "scratch.h"

namespace sp_test {
namespace {

sp_history_line LineOf(double value, const char *name = "pll.largest") {
  sp_history_line line{};
  snprintf(line.date, sizeof line.date, "2025-01-31T23:59:59Z");
  snprintf(line.signature_a, sizeof line.signature_a, "pll|m:\"0123\"");
  snprintf(line.signature_b, sizeof line.signature_b, "pll|m:4567");
  EXPECT_EQ(sp_history_add(&line, name, value, nullptr), SP_OK);
  return line;
}

std::string TextOf(const sp_history_line &line) {
  sp_buf out{};
  EXPECT_EQ(sp_history_text(&line, &out, nullptr), SP_OK);
  std::string text(out.data, out.len);
  sp_buf_release(&out);
  return text;
}

class History : public ::testing::Test {
 protected:
  ~History() override {
    sp_history_release(&history_);
  }
  sp_status Read(size_t last) {
    sp_history_release(&history_);
    return sp_history_read(path_.c_str(), last, &history_, &err_);
  }
  void Append(double value) {
    sp_history_line line = LineOf(value);
    ASSERT_EQ(sp_history_append(path_.c_str(), &line, &err_), SP_OK) << err_.message;
  }
  // "kind value mean sd n;" of each drift of tonight's value.
  std::string Drift(const std::vector<double> &before, double tonight) {
    std::remove(path_.c_str());
    for (double value : before) {
      Append(value);
    }
    EXPECT_EQ(Read(100), SP_OK) << err_.message;
    sp_history_line line = LineOf(tonight);
    sp_drift *drifts;
    size_t n;
    EXPECT_EQ(sp_history_drift(&history_, &line, &drifts, &n, &err_), SP_OK);
    std::string text;
    for (size_t i = 0; i < n; i++) {
      static const char *const kinds[] = {"outside", "rising", "falling"};
      char part[128];
      snprintf(part, sizeof part, "%s %g %g %g %zu;", kinds[drifts[i].kind], drifts[i].value,
               drifts[i].mean, drifts[i].deviation, drifts[i].n);
      EXPECT_STREQ(drifts[i].name, "pll.largest");
      text += part;
    }
    free(drifts);
    return text;
  }

  Scratch scratch_;
  std::string path_ = scratch_ / "nights.jsonl";
  sp_history history_{};
  sp_error err_{};
};

TEST_F(History, TheTextOfALine) {
  sp_history_line line = LineOf(0.125);
  ASSERT_EQ(sp_history_add(&line, "wer_b", std::numeric_limits<double>::quiet_NaN(), &err_), SP_OK);
  ASSERT_EQ(sp_history_add(&line, "speed", std::numeric_limits<double>::infinity(), &err_), SP_OK);
  line.exit_code = 1;
  std::string text = TextOf(line);
  EXPECT_EQ(text,
            "{\"date\":\"2025-01-31T23:59:59Z\",\"signature_a\":\"pll|m:\\\"0123\\\"\","
            "\"signature_b\":\"pll|m:4567\",\"exit_code\":1,\"numbers\":{\"pll.largest\":0.125,"
            "\"wer_b\":null,\"speed\":null}}\n");
  sp_history_line again;
  ASSERT_EQ(sp_history_parse({text.data(), text.size()}, &again, &err_), SP_OK) << err_.message;
  EXPECT_EQ(TextOf(again), text);
  EXPECT_TRUE(std::isnan(again.numbers[1].value));
}

// Digits alone would be an integer of over 64 bits, which the reader refuses.
TEST_F(History, NumbersBeyondEveryIntegerAreReadAgain) {
  for (double value : {0x1p63, -0x1p63, 0x1p64, 1000000000001874340993.0, 1.5e300, 0x1p62}) {
    sp_history_line line = LineOf(value), again;
    std::string text = TextOf(line);
    ASSERT_EQ(sp_history_parse({text.data(), text.size()}, &again, &err_), SP_OK)
        << err_.message << ": " << text;
    EXPECT_EQ(again.numbers[0].value, value);
  }
}

TEST_F(History, NoFileIsNoHistory) {
  ASSERT_EQ(Read(7), SP_OK);
  EXPECT_EQ(history_.n, 0u);
}

TEST_F(History, TheLastLinesOldestFirst) {
  for (int night = 0; night < 10; night++) {
    Append(night);
  }
  ASSERT_EQ(Read(4), SP_OK) << err_.message;
  ASSERT_EQ(history_.n, 4u);
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(history_.lines[i].numbers[0].value, 6.0 + static_cast<double>(i));
  }
  ASSERT_EQ(Read(10), SP_OK);
  EXPECT_EQ(history_.n, 10u);
  EXPECT_EQ(history_.lines[0].numbers[0].value, 0.0);
  ASSERT_EQ(Read(11), SP_OK);
  EXPECT_EQ(history_.n, 10u);
}

TEST_F(History, ALastLineWithoutItsEndIsNotJoined) {
  std::string text = TextOf(LineOf(1));
  WriteFile(path_, text.substr(0, text.size() - 1));
  Append(2);
  EXPECT_EQ(ReadFile(path_), text + TextOf(LineOf(2)));
}

TEST_F(History, LinesOfManyWritersDoNotMix) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 8; w++) {
    writers.emplace_back([this, w] {
      for (int k = 0; k < 25; k++) {
        sp_history_line line = LineOf(w * 25 + k);
        EXPECT_EQ(sp_history_append(path_.c_str(), &line, nullptr), SP_OK);
      }
    });
  }
  for (std::thread &writer : writers) {
    writer.join();
  }
  ASSERT_EQ(Read(1000), SP_OK) << err_.message;
  std::set<double> seen;
  for (size_t i = 0; i < history_.n; i++) {
    seen.insert(history_.lines[i].numbers[0].value);
  }
  EXPECT_EQ(seen.size(), 200u);
}

TEST_F(History, WhereNothingCanBeWritten) {
  sp_history_line line = LineOf(1);
  std::string path = scratch_ / "absent/nights.jsonl";
  EXPECT_EQ(sp_history_append(path.c_str(), &line, &err_), SP_EIO);
  EXPECT_NE(std::string(err_.message).find("absent/nights.jsonl"), std::string::npos);
  if (access("/dev/full", W_OK) == 0) {
    EXPECT_EQ(sp_history_append("/dev/full", &line, &err_), SP_EIO);
  }
}

#define DATE "\"date\":\"2025-01-31T23:59:59Z\""
#define SIGNATURES "\"signature_a\":\"a\",\"signature_b\":\"b\""

TEST_F(History, DamagedLinesAreNamed) {
  const struct {
    const char *line, *reason;
  } cases[] = {
      {"", "not a JSON object"},
      {"{\"date\":\"2025-01-31T23:5", "not a JSON object"},
      {"[]", "not an object of date"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0}", "not an object of date"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":{},\"more\":1}",
       "not an object of date"},
      {"{\"date\":\"yesterday\"," SIGNATURES ",\"exit_code\":0,\"numbers\":{}}", "\"date\" is not"},
      {"{\"date\":\"2025-01-31T23:59:59+\"," SIGNATURES ",\"exit_code\":0,\"numbers\":{}}",
       "\"date\" is not"},
      {"{" DATE ",\"signature_a\":1,\"signature_b\":\"\",\"exit_code\":0,\"numbers\":{}}",
       "\"signature_a\" is missing"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":3,\"numbers\":{}}", "\"exit_code\" is neither"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":[]}", "\"numbers\" is missing"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":{\"x\":\"1\"}}",
       "\"x\" is neither a number nor null"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":{\"x\":1,\"x\":2}}",
       "duplicate object key"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":{\"x\":1e999}}", "not a JSON object"},
      {"{" DATE "," SIGNATURES ",\"exit_code\":0,\"numbers\":{\"\":1}}", "a name that is empty"},
  };
  for (const auto &c : cases) {
    WriteFile(path_, TextOf(LineOf(1)) + c.line + "\n" + TextOf(LineOf(2)));
    EXPECT_EQ(Read(1), SP_EINPUT) << c.line;
    std::string message = err_.message;
    EXPECT_EQ(message.rfind(path_ + ":2: ", 0), 0u) << message;
    EXPECT_NE(message.find(c.reason), std::string::npos) << message;
  }
}

TEST_F(History, AValueOutsideThreeDeviations) {
  EXPECT_EQ(Drift({1, 2, 3}, 5.1), "outside 5.1 2 1 3;");
  EXPECT_EQ(Drift({1, 2, 3}, 4.9), "");
  EXPECT_EQ(Drift({1, 2, 3}, -1.1), "outside -1.1 2 1 3;");
  EXPECT_EQ(Drift({1, 2}, 100), "") << "two nights tell nothing";
}

TEST_F(History, EqualNightsMakeAnyChangeADrift) {
  EXPECT_EQ(Drift({0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 0.1), "");
  EXPECT_EQ(Drift({0, 0, 0}, 1e-30), "outside 1e-30 0 0 3;");
}

TEST_F(History, RisingAndFallingAllAlong) {
  EXPECT_EQ(Drift({1, 2, 3, 4}, 4.5), "rising 4.5 2.5 1.29099 4;");
  EXPECT_EQ(Drift({4, 3, 2, 1}, 0.5), "falling 0.5 2.5 1.29099 4;");
  EXPECT_EQ(Drift({1, 2, 3}, 4), "") << "four values tell nothing";
  EXPECT_EQ(Drift({1, 2, 2, 4}, 4.5), "");
  EXPECT_EQ(Drift({1, 2, 3, 4}, 3.5), "");
  EXPECT_EQ(Drift({2, 1, 2, 3, 4}, 4.5), "") << "the whole window must rise";
}

TEST_F(History, NullsAreLeftOut) {
  double null = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Drift({1, null, 2, null, 3}, 5.1), "outside 5.1 2 1 3;");
  EXPECT_EQ(Drift({1, 1, 1}, null), "");
  EXPECT_EQ(Drift({null, null, null}, 1), "");
}

TEST_F(History, TooManyNumbers) {
  sp_history_line line{};
  for (int i = 0; i < sp_history_max_numbers; i++) {
    ASSERT_EQ(sp_history_add(&line, std::to_string(i).c_str(), i, &err_), SP_OK);
  }
  EXPECT_EQ(sp_history_add(&line, "one more", 1, &err_), SP_EINPUT);
}

}  // namespace
}  // namespace sp_test

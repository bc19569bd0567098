// The report: its numbers are those of wer.h, its bytes depend on the inputs alone, and no text of a
// file becomes markup.
#include <gtest/gtest.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "float_text.h"
#include "markup.h"
#include "report_html.h"
#include "report_svg.h"
#include "score_line.h"
#include "scratch.h"

namespace sp_test {
namespace {

struct ReportFree {
  void operator()(sp_report *report) const {
    sp_report_destroy(report);
  }
};
using Report = std::unique_ptr<sp_report, ReportFree>;

sp_status Speaker(void *, const sp_utt *utt, sp_text *block, sp_error *) {
  const char *dash = static_cast<const char *>(memchr(utt->id.data, '-', utt->id.len));
  *block = {utt->id.data, dash ? static_cast<size_t>(dash - utt->id.data) : 0};
  return SP_OK;
}

struct Hyp {
  std::string text;
  double first, second;
};
struct Utt {
  std::string id, ref;
  std::vector<Hyp> hyps;
};

std::string Quoted(const std::string &text) {
  sp_buf buf{};
  sp_error err{};
  EXPECT_EQ(sp_json_string_write(&buf, {text.data(), text.size()}, &err), SP_OK);
  std::string out(buf.data, buf.len);
  sp_buf_release(&buf);
  return out;
}

std::vector<Utt> RandomUtts(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Utt> utts;
  const auto word = [&] { return std::string(1, static_cast<char>('a' + random() % 6)); };
  for (size_t u = 0; u < n; u++) {
    Utt utt{std::to_string(u % 7) + "-" + std::to_string(u), "", {}};
    std::vector<std::string> ref(1 + random() % 30);
    for (std::string &w : ref)
      utt.ref += (utt.ref.empty() ? "" : " ") + (w = word());
    for (size_t h = 0, hyps = random() % 13; h < hyps; h++) {
      Hyp hyp{"", -0.7 * static_cast<double>(h), 0};
      for (const std::string &w : ref) {
        bool wrong = random() % 8 == 0;
        hyp.text += (hyp.text.empty() ? "" : " ") + (wrong ? word() : w);
        hyp.second -= wrong ? 1.5 : 1 + 0.01 * static_cast<double>(random() % 100);
      }
      utt.hyps.push_back(hyp);
    }
    utts.push_back(utt);
  }
  return utts;
}

class ReportTest : public ::testing::Test {
 protected:
  void Write(const std::vector<Utt> &utts) {
    std::string archive, scores;
    for (const Utt &utt : utts) {
      archive += "{\"id\":" + Quoted(utt.id) + ",\"ref\":" + Quoted(utt.ref) + ",\"hyps\":[";
      scores += "{\"id\":" + Quoted(utt.id) + ",\"hyps\":[";
      for (size_t h = 0; h < utt.hyps.size(); h++) {
        char first[SP_DOUBLE_TEXT_MAX], second[SP_DOUBLE_TEXT_MAX];
        sp_double_text(utt.hyps[h].first, first);
        sp_double_text(utt.hyps[h].second, second);
        archive += std::string(h ? "," : "") + "{\"text\":" + Quoted(utt.hyps[h].text) +
                   ",\"score\":" + first + "}";
        scores += std::string(h ? "," : "") + "{\"i\":" + std::to_string(h) +
                  ",\"value\":" + second + "}";
      }
      archive += "]}\n";
      scores += "]}\n";
    }
    WriteFile(archive_, archive);
    WriteFile(scratch_ / "lm.jsonl", scores);
  }

  static sp_combination Combination(double weight) {
    sp_combination combination{};
    combination.first.n = combination.second.n = 1;
    strcpy(combination.first.items[0].name, "score");
    combination.first.items[0].value = 1;
    strcpy(combination.second.items[0].name, "lm");
    combination.second.items[0].value = weight;
    return combination;
  }

  sp_status Make(const std::vector<double> &weights, Report *out, sp_error *err) {
    const char *path = archive_.c_str();
    sp_report_options options{};
    options.paths = &path;
    options.n_paths = 1;
    options.normalize = "none";
    options.replicates = 200;
    options.seed = 1;
    options.block_of = Speaker;
    options.examples = examples_;
    options.points = 100;
    sp_report *report = nullptr;
    EXPECT_EQ(sp_report_create(&options, &report, err), SP_OK);
    out->reset(report);
    for (double weight : weights) {
      std::string spec = "lm=" + (scratch_ / "lm.jsonl");
      sp_scores_options scores{spec.c_str(), nullptr, SP_MISSING_ERROR};
      sp_combination combination = Combination(weight);
      sp_status status = sp_report_add(report, &scores, &combination, err);
      if (status != SP_OK)
        return status;
    }
    return sp_report_finish(report, err);
  }

  std::string Page(const Report &report) {
    sp_buf buf{};
    sp_error err{};
    EXPECT_EQ(sp_report_html(report.get(), &buf, &err), SP_OK) << err.message;
    std::string page(buf.data, buf.len);
    sp_buf_release(&buf);
    return page;
  }

  std::string PageOf(const std::vector<Utt> &utts, const std::vector<double> &weights) {
    Write(utts);
    Report report;
    sp_error err{};
    EXPECT_EQ(Make(weights, &report, &err), SP_OK) << err.message;
    return Page(report);
  }

  Scratch scratch_;
  std::string archive_ = scratch_ / "dev.jsonl";
  size_t examples_ = 10;
};

size_t Distance(const std::string &a, const std::string &b) {
  std::vector<size_t> row(b.size() / 2 + 2);
  for (size_t j = 0; j < row.size(); j++)
    row[j] = j;
  size_t n = b.empty() ? 0 : b.size() / 2 + 1;  // one-letter words
  for (size_t i = 0; i < (a.empty() ? 0 : a.size() / 2 + 1); i++) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < n; j++) {
      size_t next = std::min({row[j] + 1, row[j + 1] + 1, diagonal + (a[2 * i] != b[2 * j])});
      diagonal = row[j + 1];
      row[j + 1] = next;
    }
  }
  return row[n];
}

// The index of the best total, in one obvious loop.
size_t Best(const Utt &utt, double weight) {
  size_t best = 0;
  const auto total = [&](size_t h) {
    return utt.hyps[h].first + weight * static_cast<double>(static_cast<float>(utt.hyps[h].second));
  };
  for (size_t h = 1; h < utt.hyps.size(); h++)
    if (total(h) > total(best))
      best = h;
  return best;
}

TEST_F(ReportTest, CountsWhatASecondCountGives) {
  for (uint32_t seed = 0; seed < 5; seed++) {
    std::vector<Utt> utts = RandomUtts(120, seed);
    Write(utts);
    Report report;
    sp_error err{};
    ASSERT_EQ(Make({0.5}, &report, &err), SP_OK) << err.message;
    const sp_report_run &run = *report->runs[0];
    uint64_t changed = 0, hyps = 0, chosen_errors = 0, least[sp_oracle_sizes] = {};
    for (const Utt &utt : utts) {
      size_t best = Best(utt, 0.5);
      changed += best != 0;
      hyps += utt.hyps.size();
      chosen_errors += Distance(utt.ref, utt.hyps.empty() ? "" : utt.hyps[best].text);
      for (int k = 0; k < sp_oracle_sizes; k++) {
        size_t size = report->oracles[k].size ? report->oracles[k].size : utt.hyps.size();
        size_t fewest = Distance(utt.ref, "");
        if (!utt.hyps.empty())
          fewest = SIZE_MAX;
        for (size_t h = 0; h < std::min(size, utt.hyps.size()); h++)
          fewest = std::min(fewest, Distance(utt.ref, utt.hyps[h].text));
        least[k] += fewest;
      }
    }
    EXPECT_EQ(report->utts, utts.size());
    EXPECT_EQ(report->hyps, hyps);
    EXPECT_EQ(run.changed, changed);
    EXPECT_EQ(report->n_blocks, 7u);
    EXPECT_EQ(run.curves[0].errors, chosen_errors);
    EXPECT_LE(run.curves[0].best.errors, chosen_errors);
    EXPECT_LE(run.curves[0].equal.from, 0.5);
    EXPECT_GE(run.curves[0].equal.to, 0.5);
    // sclite's alignment may have an error more than the distance, rarely
    EXPECT_GE(sp_wer_sum_errors(&run.after.units), chosen_errors);
    EXPECT_LE(sp_wer_sum_errors(&run.after.units), chosen_errors + chosen_errors / 10);
    for (int k = 0; k < sp_oracle_sizes; k++) {
      EXPECT_GE(sp_wer_sum_errors(&report->oracles[k].sum), least[k]) << k;
      EXPECT_LE(sp_wer_sum_errors(&report->oracles[k].sum), least[k] + least[k] / 10) << k;
    }
    EXPECT_EQ(sp_wer_sum_errors(&report->oracles[0].sum), sp_wer_sum_errors(&run.before.units));
  }
}

TEST_F(ReportTest, ShowsTheNumbersThatItCounted) {
  Write(RandomUtts(100, 3));
  Report report;
  sp_error err{};
  ASSERT_EQ(Make({0.5, 0.1}, &report, &err), SP_OK) << err.message;
  std::string page = Page(report);
  for (size_t i = 0; i < 2; i++) {
    const sp_report_run &run = *report->runs[i];
    char text[128];
    snprintf(text, sizeof text, "<td>%.2f</td><td>%.2f to %.2f</td><td>%llu</td>",
             100 * sp_wer_sum_rate(&run.after.units), 100 * run.by_block.a.low,
             100 * run.by_block.a.high,
             static_cast<unsigned long long>(sp_wer_sum_errors(&run.after.units)));
    EXPECT_NE(page.find(text), std::string::npos) << text;
    snprintf(text, sizeof text, "%.2f → %.2f %%", 100 * sp_wer_sum_rate(&run.before.units),
             100 * sp_wer_sum_rate(&run.after.units));
    EXPECT_NE(page.find(text), std::string::npos) << text;
  }
  EXPECT_NE(page.find(report->signature), std::string::npos);
  EXPECT_NE(page.find("<th>p, Holm</th>"), std::string::npos);
}

// Every group partitions the utterances.
TEST_F(ReportTest, GroupsHoldEveryUtteranceOnce) {
  Write(RandomUtts(300, 8));
  Report report;
  sp_error err{};
  ASSERT_EQ(Make({0.5}, &report, &err), SP_OK) << err.message;
  const sp_report_run &run = *report->runs[0];
  sp_bin_group groups[sp_group_max];
  for (bool lengths : {true, false}) {
    size_t n = lengths ? sp_length_groups(&run.histogram, groups)
                       : sp_margin_groups(&run.histogram, groups);
    sp_bin sum = lengths ? sp_bin{} : run.histogram.no_margin;
    ASSERT_GT(n, 0u);
    for (size_t g = 0; g < n; g++) {
      sum.utts += groups[g].sum.utts;
      sum.ref += groups[g].sum.ref;
      sum.before += groups[g].sum.before;
      sum.after += groups[g].sum.after;
      EXPECT_LE(groups[g].from, groups[g].to);
      if (g > 0) {
        EXPECT_GE(groups[g].from, groups[g - 1].to);
      }
    }
    EXPECT_EQ(sum.utts, report->utts);
    EXPECT_EQ(sum.ref, sp_wer_sum_reference(&run.after.units));
    EXPECT_EQ(sum.before, sp_wer_sum_errors(&run.before.units));
    EXPECT_EQ(sum.after, sp_wer_sum_errors(&run.after.units));
  }
}

TEST_F(ReportTest, EqualInputsGiveEqualBytes) {
  std::vector<Utt> utts = RandomUtts(200, 1);
  std::string page = PageOf(utts, {0.4, 0.2});
  EXPECT_EQ(page, PageOf(utts, {0.4, 0.2}));
  EXPECT_NE(page, PageOf(utts, {0.4, 0.3}));
  const char *before = setlocale(LC_ALL, nullptr);
  std::string kept = before ? before : "C";
  for (const char *locale : {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"}) {
    if (setlocale(LC_ALL, locale)) {
      EXPECT_EQ(page, PageOf(utts, {0.4, 0.2})) << locale;
    }
  }
  setlocale(LC_ALL, kept.c_str());
}

TEST_F(ReportTest, NeedsNothingFromOutside) {
  std::string page = PageOf(RandomUtts(50, 1), {0.4});
  for (const char *part : {"://", "src=", "href=", "url(", "@import", "<script", "<link", "<img"})
    EXPECT_EQ(page.find(part), std::string::npos) << part;
}

// Returns the first fault: every tag closed by its own name, attributes quoted.
std::string FaultOf(const std::string &page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    size_t end = page.find('>', at);
    if (end == std::string::npos)
      return "no end of tag";
    std::string tag = page.substr(at + 1, end - at - 1);
    if (tag[0] == '!')
      continue;
    if (std::count(tag.begin(), tag.end(), '"') % 2)
      return "quotes: " + tag;
    if (tag.find('<') != std::string::npos)
      return "tag in tag: " + tag;
    if (tag.back() == '/')
      continue;
    if (tag[0] != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return tag + " at " + std::to_string(at) + (open.empty() ? "" : " closes " + open.back());
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "open: " + open.back();
}

TEST_F(ReportTest, TagsBalance) {
  EXPECT_EQ(FaultOf(PageOf(RandomUtts(100, 1), {0.4})), "");
  EXPECT_EQ(FaultOf(PageOf(RandomUtts(100, 1), {0.4, 0, 1.5})), "");
  EXPECT_NE(FaultOf("<p><b></p></b>"), "");
  EXPECT_NE(FaultOf("<p>"), "");
}

TEST_F(ReportTest, HostileTextsStayText) {
  archive_ = scratch_ / "a<b>&\"'.jsonl";
  std::vector<Utt> utts = RandomUtts(4, 1);
  utts.push_back({"x-<script>alert(1)</script>&\"'",
                  "</dd><script>evil()</script> & \"quoted\" 'single'",
                  {{"<img src=x onerror=alert(1)>", 0, -9},
                   {"</dd><script>evil()</script> & \"quoted\" \x01\x7f", -1, -1},
                   {"<!-- ]]> \xe2\x80\xae", -2, -9}}});
  utts.push_back(
      {"y-2", "plain <b>words</b>", {{"plain <b>words</b>", 0, -9}, {"<svg/onload=x>", -1, -1}}});
  std::string page = PageOf(utts, {1});
  for (const char *part : {"<script", "<img", "<svg/", "<!--", "<b>&", "onerror=alert(1)>", "\x01"})
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  for (const char *part :
       {"x-&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;", "&lt;img",
        "a&lt;b&gt;&amp;&quot;&#39;.jsonl", "&lt;/dd&gt;&lt;script&gt;evil()&lt;/script&gt;",
        "&lt;svg/onload=x&gt;"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(FaultOf(page), "");
}

TEST_F(ReportTest, MarksWordsByMoreThanColour) {
  std::string page = PageOf(
      {{"s-1", "a b c d", {{"a x c e d", 0, -9}, {"a b c", -1, -1}}}, {"t-1", "a", {{"a", 0, 0}}}},
      {1});
  EXPECT_NE(page.find("a <u class=\"s\">x</u> c <ins class=\"i\">e</ins> d "), std::string::npos);
  EXPECT_NE(page.find("a b c <del class=\"d\">d</del> "), std::string::npos);
  EXPECT_NE(page.find("1 error fewer"), std::string::npos);
}

TEST_F(ReportTest, RefusesWhatItCannotJudge) {
  Report report;
  sp_error err{};
  Write({{"s-1", "", {{"a", 0, 0}}}});
  EXPECT_EQ(Make({1}, &report, &err), SP_EINPUT);
  EXPECT_NE(strstr(err.message, "reference"), nullptr) << err.message;
  Write({{"s-1", "a", {{"a", 0, 0}}}});
  WriteFile(archive_, "{\"id\":\"s-1\",\"ref\":\"a\",\"hyps\":[{\"text\":\"a\"}]}\n");
  EXPECT_EQ(Make({1}, &report, &err), SP_EINPUT);
  EXPECT_NE(strstr(err.message, "first-pass scores"), nullptr) << err.message;
}

TEST_F(ReportTest, SmallArchivesHaveAPage) {
  for (const std::vector<Utt> &utts :
       {std::vector<Utt>{{"s-1", "a", {}}}, std::vector<Utt>{{"s-1", "a", {{"a", 0, 0}}}},
        std::vector<Utt>{{"s-1", "a b", {{"", 0, 0}, {"", 0, 0}}}, {"s-2", "c", {}}}}) {
    Write(utts);
    Report report;
    sp_error err{};
    sp_status status = Make({0}, &report, &err);
    if (utts[0].hyps.empty()) {
      EXPECT_EQ(status, SP_EINPUT);  // nothing has a first-pass score
      continue;
    }
    ASSERT_EQ(status, SP_OK) << err.message;
    std::string page = Page(report);
    EXPECT_EQ(FaultOf(page), "");
    EXPECT_EQ(page.find("nan"), std::string::npos);
    EXPECT_EQ(page.find("inf"), std::string::npos);
  }
}

TEST(ReportFacts, AreTheMembersOfRunJson) {
  Scratch scratch;
  WriteFile(scratch / "run.json",
            "{\"identity\":{\"shards\":1,\"shard_utts\":8,\"dtype\":\"bf16\",\"eos\":null},"
            "\"info\":{\"utts\":5,\"hyps\":50,\"signature\":\"pll|<b>\"}}");
  sp_report_facts facts{};
  sp_error err{};
  ASSERT_EQ(sp_report_facts_read(scratch.path().c_str(), &facts, &err), SP_OK) << err.message;
  ASSERT_EQ(facts.n, 7u);
  EXPECT_STREQ(sp_report_fact_find(&facts, "dtype"), "bf16");
  EXPECT_STREQ(sp_report_fact_find(&facts, "hyps"), "50");
  EXPECT_STREQ(sp_report_fact_find(&facts, "eos"), "null");
  EXPECT_STREQ(sp_report_fact_find(&facts, "signature"), "pll|<b>");
  EXPECT_EQ(sp_report_fact_find(&facts, "none"), nullptr);
  EXPECT_EQ(sp_report_facts_read((scratch / "none").c_str(), &facts, &err), SP_EINPUT);
  sp_report_facts_release(&facts);
}

TEST(ReportPicks, KeepTheLargestGainsInOrder) {
  std::mt19937 random(1);
  sp_examples examples;
  sp_error err{};
  ASSERT_EQ(sp_examples_create(&examples, 5, &err), SP_OK);
  std::vector<std::pair<uint64_t, int>> all;
  for (int i = 0; i < 200; i++) {
    uint64_t gain = 1 + random() % 20;
    std::string id = std::to_string(i);
    const sp_text texts[4] = {{id.data(), id.size()}, {"r", 1}, {"b", 1}, {"a", 1}};
    ASSERT_EQ(sp_examples_add(&examples, gain, 0, texts, &err), SP_OK);
    all.push_back({gain, i});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto &a, const auto &b) { return a.first > b.first; });
  ASSERT_EQ(examples.n, 5u);
  for (size_t i = 0; i < 5; i++) {
    sp_text id = sp_example_text(&examples.items[i], 0),
            last = sp_example_text(&examples.items[i], 3);
    EXPECT_EQ(std::string(id.data, id.len), std::to_string(all[i].second));
    EXPECT_EQ(std::string(last.data, last.len), "a");
    EXPECT_EQ(examples.items[i].gain, all[i].first);
  }
  sp_examples_release(&examples);
}

TEST(ReportPicks, SampleIsTheSameInAnyOrder) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> keys(1000);
  for (uint64_t &key : keys)
    key = random();
  std::vector<uint64_t> sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  for (int order = 0; order < 3; order++) {
    sp_points points;
    sp_error err{};
    ASSERT_EQ(sp_points_create(&points, 37, &err), SP_OK);
    for (uint64_t key : keys) {
      sp_point point{};
      point.key = key;
      sp_points_add(&points, &point);
    }
    sp_points_finish(&points);
    ASSERT_EQ(points.n, 37u);
    for (size_t i = 0; i < points.n; i++)
      EXPECT_EQ(points.heap[i].key, sorted[i]);
    sp_points_release(&points);
    std::shuffle(keys.begin(), keys.end(), random);
  }
}

TEST(Markup, NumbersAreThoseOfPrintf) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; i++) {
    double value = std::ldexp(static_cast<double>(random() % 2000001) - 1e6,
                              static_cast<int>(random() % 40) - 20);
    for (int decimals : {0, 2, 4}) {
      char expected[64], got[SP_DOUBLE_TEXT_MAX];
      snprintf(expected, sizeof expected, "%.*f", decimals, value);
      const char *from = expected;
      if (*from == '-' && strspn(from + 1, "0.") == strlen(from + 1))
        from++;
      EXPECT_EQ(sp_double_fixed(value, decimals, got), strlen(from));
      EXPECT_STREQ(got, from);
    }
  }
  EXPECT_STREQ(sp_fixed(NAN, 2).text, "n/a");
  EXPECT_STREQ(sp_fixed(-1e300, 2).text, "-1.0000e+300");
  EXPECT_STREQ(sp_digits(0.001234).text, "0.00123");
  EXPECT_STREQ(sp_digits(-12.0).text,
               "\xe2\x88\x92"
               "12");
  EXPECT_STREQ(sp_digits(1e6).text, "1000000");
  EXPECT_STREQ(sp_digits(0).text, "0");
  EXPECT_STREQ(sp_signed(0.5, 2).text, "+0.50");
  EXPECT_STREQ(sp_signed(-0.5, 2).text,
               "\xe2\x88\x92"
               "0.50");
  EXPECT_STREQ(sp_signed(-0.001, 2).text, "0.00");
  EXPECT_STREQ(sp_grouped(0).text, "0");
  EXPECT_STREQ(sp_grouped(123456).text, "123,456");
  EXPECT_STREQ(sp_grouped(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

TEST(Markup, BrokenUtf8IsReplaced) {
  sp_buf buf{};
  sp_error err{};
  sp_markup markup{&buf, &err, SP_OK};
  sp_markup_string(&markup, "a\xff<\xc3");
  EXPECT_EQ(markup.status, SP_OK);
  EXPECT_EQ(std::string(buf.data, buf.len), "a\xef\xbf\xbd&lt;\xef\xbf\xbd");
  sp_buf_release(&buf);
}

TEST(Markup, AFullBufferIsReportedOnce) {
  sp_buf buf{};
  buf.ceiling = 100;
  sp_error err{};
  sp_markup markup{&buf, &err, SP_OK};
  for (int i = 0; i < 100; i++)
    sp_markup_put(&markup, "0123456789%d", i);
  EXPECT_NE(markup.status, SP_OK);
  EXPECT_LE(buf.len, 100u);
  sp_buf_release(&buf);
}

TEST(Ticks, AreRoundAndWithin) {
  std::mt19937 random(1);
  for (int i = 0; i < 5000; i++) {
    double lo = std::ldexp(static_cast<double>(random() % 1000) - 500,
                           static_cast<int>(random() % 20) - 10);
    double wide = std::ldexp(1.0 + random() % 100, static_cast<int>(random() % 20) - 10);
    sp_range range{lo, lo + wide};
    sp_ticks ticks = sp_ticks_make(range, 6);
    EXPECT_GE(ticks.n, 2) << lo << " " << wide;
    EXPECT_LE(ticks.n, 7);
    EXPECT_GE(ticks.first, lo - 1e-6 * wide);
    EXPECT_LE(ticks.first + (ticks.n - 1) * ticks.step, lo + wide + 1e-6 * wide);
  }
}

}  // namespace
}  // namespace sp_test

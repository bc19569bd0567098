#include <cmath>
#include <map>
#include <set>

#include "data_block.h"
#include "data_fixture.h"

namespace {

class MlmData : public sp_test::DataTest {
 protected:
  // Line i is "wA wB .." of 1 to 6 words that tell i.
  static std::string Line(int i) {
    std::string line = "w" + std::to_string(i % 100);
    for (int w = 0; w < i % 6; w++)
      line += " w" + std::to_string((i + w) / 7 % 100);
    return line;
  }
  static std::string Lines(int n) {
    std::string text;
    for (int i = 0; i < n; i++)
      text += Line(i) + "\n";
    return text;
  }
  static constexpr int32_t mask = 4;
};

TEST_F(MlmData, EveryItemComesOncePerEpochInAnotherOrder) {
  std::string file = File("a.txt", Lines(500));
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK) << err_.message;
  EXPECT_EQ(Counts().items, 500u);
  sp_train_position at{};
  std::vector<std::vector<uint64_t>> order(2);
  while (at.epoch < 2) {
    uint64_t epoch = at.epoch;
    Batch batch = Next(&at, 100);
    EXPECT_LE(batch.ids.size(), 100u);
    order[epoch].insert(order[epoch].end(), batch.item.begin(), batch.item.end());
  }
  for (const auto &epoch : order) {
    EXPECT_EQ(epoch.size(), 500u);
    EXPECT_EQ(std::set<uint64_t>(epoch.begin(), epoch.end()).size(), 500u);
  }
  EXPECT_NE(order[0], order[1]);
  EXPECT_EQ(at.item, 0u);
}

TEST_F(MlmData, ABatchIsAPureFunctionOfThePosition) {
  std::string file = File("a.txt", Lines(300));
  settings_.join_share = 0.5;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK) << err_.message;
  std::vector<sp_train_position> places;
  std::vector<Batch> batches;
  for (sp_train_position at{}; at.epoch < 3;) {
    places.push_back(at);
    batches.push_back(Next(&at, 64));
  }
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  for (size_t i = places.size(); i-- > 0;) {  // backwards
    sp_train_position at = places[i];
    EXPECT_TRUE(Next(&at, 64) == batches[i]) << i;
  }
  settings_.seed++;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  sp_train_position at{};
  EXPECT_FALSE(Next(&at, 64) == batches[0]);
}

TEST_F(MlmData, SequencesAreTheLinesBetweenClsAndSep) {
  std::string file = File("a.txt", Lines(40));
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  sp_train_position at{};
  Batch batch = Next(&at, 10000);
  ASSERT_EQ(batch.item.size(), 40u);
  for (size_t s = 0; s < 40; s++) {
    std::string name = Name(false, batch.item[s]);
    ASSERT_EQ(name.rfind(file + ":", 0), 0u) << name;
    int line = std::stoi(name.substr(file.size() + 1));
    EXPECT_EQ(Text(batch, s), "[CLS] " + Line(line - 1) + " [SEP]");
    for (uint32_t r = batch.row_start[s]; r < batch.row_start[s + 1]; r++)
      EXPECT_EQ(batch.positions[r], r - batch.row_start[s]);
  }
}

TEST_F(MlmData, MasksAreAsTheSettingsSay) {
  std::string text;
  for (int i = 0; i < 2000; i++)
    text += "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10\n";
  std::string file = File("a.txt", text);
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  sp_train_position at{};
  Batch batch = Next(&at, 1 << 20);
  ASSERT_EQ(batch.item.size(), 2000u);
  std::map<uint32_t, int> place, per_sample;
  int masked = 0, kept = 0, random = 0;
  std::set<int32_t> seen;
  for (size_t t = 0; t < batch.target_row.size(); t++) {
    uint32_t row = batch.target_row[t];
    ASSERT_TRUE(t == 0 || batch.target_row[t - 1] < row);
    place[batch.positions[row]]++;
    per_sample[row / 12]++;
    int32_t id = batch.ids[row];
    masked += id == mask;
    kept += id == batch.target_id[t];
    if (id != mask && id != batch.target_id[t]) {
      random++;
      EXPECT_GT(id, mask);
      seen.insert(id);
    }
  }
  double n = static_cast<double>(batch.target_row.size());
  for (auto [sample, count] : per_sample)
    EXPECT_TRUE(count == 2 || count == 3) << sample;  // 2.5 rounded by a draw
  EXPECT_NEAR(n, 5000, 5 * std::sqrt(2000 * 0.25));
  EXPECT_EQ(per_sample.size(), 2000u);
  EXPECT_EQ(place.size(), 10u);  // never [CLS], [SEP]
  for (auto [position, count] : place)
    EXPECT_NEAR(count, n / 10, 5 * std::sqrt(n * 0.09)) << position;
  EXPECT_NEAR(masked / n, 0.8, 5 * std::sqrt(0.16 / n));
  EXPECT_NEAR(random / n, 0.1, 5 * std::sqrt(0.09 / n));
  EXPECT_NEAR(kept / n, 0.1, 5 * std::sqrt(0.09 / n));
  EXPECT_GT(seen.size(), 100u);  // of 152 ordinary pieces
}

TEST_F(MlmData, AShortSampleHasOneTarget) {
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", "w1\nw2\nw3\n")}), SP_OK);
  sp_train_position at{};
  Batch batch = Next(&at, 100);
  EXPECT_EQ(batch.target_row, (std::vector<uint32_t>{1, 4, 7}));
}

TEST_F(MlmData, SpecialTokensInTheTextAreNoTargets) {
  settings_.mask_rate = 0.9;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", "[MASK] [SEP] w1 [PAD]\n[CLS]\n")}), SP_OK);
  EXPECT_EQ(Counts().items, 1u);
  EXPECT_EQ(Counts().left_out, 1u);  // a line with nothing to predict
  sp_train_position at{};
  Batch batch = Next(&at, 100);
  EXPECT_EQ(batch.target_row, (std::vector<uint32_t>{3}));
}

TEST_F(MlmData, LongLinesAreCutIntoPiecesAndEmptyOnesLeftOut) {
  settings_.max_tokens = 6;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", "w1 w2 w3 w4 w5 w6 w7 w8 w9\n\n  \nw1\n")}),
            SP_OK);
  EXPECT_EQ(Counts().items, 4u);
  EXPECT_EQ(Counts().tokens, 10u);
  EXPECT_EQ(Counts().cut, 1u);
  EXPECT_EQ(Counts().left_out, 2u);
  std::set<std::string> texts;
  sp_train_position at{};
  Batch batch = Next(&at, 100);
  for (size_t s = 0; s < 4; s++)
    texts.insert(Text(batch, s));
  EXPECT_EQ(texts, (std::set<std::string>{"[CLS] w1 w2 w3 w4 [SEP]", "[CLS] w5 w6 w7 w8 [SEP]",
                                          "[CLS] w9 [SEP]", "[CLS] w1 [SEP]"}));
}

// Words of a line tell file and line, so that a joined sample tells what it was made of.
TEST_F(MlmData, JoinsFollowTheFileAndFitTheLength) {
  std::string text;
  for (int i = 0; i < 99; i++)
    text += i == 50 ? "\n" : "w" + std::to_string(i) + "\n";
  std::string a = File("a.txt", text), b = File("b.txt", text);
  settings_.join_share = 0.5;
  settings_.holdout_every = 31;  // lines 31, 62, 93 of a, then 124 ..
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {a, b}), SP_OK);
  EXPECT_EQ(Counts().holdout_items, 6u);
  int joined = 0, samples = 0;
  std::map<size_t, int> lengths;
  for (sp_train_position at{}; at.epoch < 40;) {
    Batch batch = Next(&at, 64);
    for (size_t s = 0; s < batch.item.size(); s++, samples++) {
      std::vector<int32_t> plain = batch.Plain();
      size_t n = batch.row_start[s + 1] - batch.row_start[s];
      ASSERT_LE(n, settings_.max_tokens);
      joined += n > 3;
      lengths[n]++;
      std::string name = Name(false, batch.item[s]);
      int line = std::stoi(name.substr(name.rfind(':') + 1)) - 1;
      bool second = name.rfind(b, 0) == 0;
      for (uint32_t r = batch.row_start[s] + 1; r + 1 < batch.row_start[s + 1]; r++, line++) {
        ASSERT_EQ(plain[r], 57 + line);  // the next line's word
        ASSERT_NE((line + (second ? 99 : 0)) % 31, 30) << "held out";
        ASSERT_NE(line, 50);
      }
    }
  }
  // Half are joined, of which lengths 1 to 3 of 16 take nothing along; ends of stretches a little less.
  EXPECT_NEAR(static_cast<double>(joined) / samples, 0.5 * 13 / 16, 0.03);
  EXPECT_NEAR(static_cast<double>(lengths[4]) / samples, 0.5 / 16, 0.02);
  EXPECT_GT(lengths[16], 0);
}

TEST_F(MlmData, EveryNthLineIsHeldOutInOrderUnjoined) {
  settings_.join_share = 1;
  settings_.holdout_every = 10;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", Lines(35)), File("b.txt", Lines(25))}), SP_OK);
  EXPECT_EQ(Counts().items, 54u);
  std::vector<std::string> texts, wanted;
  for (const Batch &batch : Holdout(20))
    for (size_t s = 0; s < batch.item.size(); s++)
      texts.push_back(Text(batch, s));
  for (int line : {9, 19, 29, 39 - 35, 49 - 35, 59 - 35})
    wanted.push_back("[CLS] " + Line(line) + " [SEP]");
  EXPECT_EQ(texts, wanted);
  EXPECT_EQ(Name(true, 3), scratch_ / "b.txt" + ":5");
}

TEST_F(MlmData, HeldOutMasksDependOnNoSeedAndNoBudget) {
  settings_.holdout_every = 2;
  std::string file = File("a.txt", Lines(100));
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  std::vector<int32_t> one, two;
  for (const Batch &batch : Holdout(1000))
    one.insert(one.end(), batch.ids.begin(), batch.ids.end());
  settings_.seed = 99;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK);
  for (const Batch &batch : Holdout(30))
    two.insert(two.end(), batch.ids.begin(), batch.ids.end());
  EXPECT_EQ(one, two);
}

TEST_F(MlmData, HeldOutFilesReplaceTheRule) {
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", Lines(10))}, {}, {File("b.txt", "w5 w6\n")}),
            SP_OK);
  EXPECT_EQ(Counts().items, 10u);
  EXPECT_EQ(Counts().holdout_items, 1u);
  EXPECT_EQ(Text(Holdout(100)[0], 0), "[CLS] w5 w6 [SEP]");
  EXPECT_EQ(Name(true, 0), scratch_ / "b.txt" + ":1");
}

TEST_F(MlmData, LimitsHoldForEveryBatch) {
  settings_.join_share = 0.7;
  settings_.holdout_every = 7;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", Lines(1000))}), SP_OK);
  for (size_t budget : {1u, 10u, 50u, 300u}) {
    size_t tokens, sequences, targets;
    sp_train_data_limits(data_, budget, &tokens, &sequences, &targets);
    std::vector<Batch> batches = Holdout(budget);
    for (sp_train_position at{}; at.epoch < 2;)
      batches.push_back(Next(&at, budget));
    for (const Batch &batch : batches) {
      EXPECT_LE(batch.ids.size(), tokens);
      EXPECT_LE(batch.item.size(), sequences);
      EXPECT_LE(batch.target_row.size(), targets);
      EXPECT_TRUE(batch.ids.size() <= budget || batch.item.size() == 1);
    }
  }
}

TEST_F(MlmData,
       ManyBlocksComeInOrder) {  // more than a block a thread, and files instead of buffers
  std::string text;
  for (int i = 0; i < 900000; i++)
    text += Line(i) + "\n";
  settings_.holdout_every = 2;
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", text)}), SP_OK);
  ASSERT_EQ(Counts().items + Counts().holdout_items, 900000u);
  size_t line = 1;
  for (const Batch &batch : Holdout(4096))
    for (size_t s = 0; s < batch.item.size(); s++, line += 2)
      ASSERT_EQ(Text(batch, s), "[CLS] " + Line(static_cast<int>(line)) + " [SEP]");
}

TEST_F(MlmData, AWideVocabularyKeepsItsIds) {
  std::string specials = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (int i = 0; i < 70000; i++)
    specials += "q" + std::to_string(i) + "\n";
  Vocabulary(specials);
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", "w98 q3 w99\n")}), SP_OK);
  sp_train_position at{};
  EXPECT_EQ(Text(Next(&at, 100), 0), "[CLS] w98 q3 w99 [SEP]");
}

TEST_F(MlmData, UpperCaseTextIsLoweredForACasedVocabulary) {
  sp_test::WriteFile(scratch_ / "tokenizer_config.json", "{\"do_lower_case\": false}");
  Vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("a.txt", "W1 W2\n")}), SP_OK);
  EXPECT_TRUE(Counts().lowered);
  sp_train_position at{};
  EXPECT_EQ(Text(Next(&at, 100), 0), "[CLS] w1 w2 [SEP]");
  ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {File("b.txt", "W1 w2\n")}), SP_OK);
  EXPECT_FALSE(Counts().lowered);
}

TEST_F(MlmData, BadInputIsNamed) {
  std::string good = File("good.txt", Lines(9));
  ExpectFault(Open(SP_OBJECTIVE_MLM, {File("a.txt", "w1\nw\xff\n")}), SP_EINPUT, "a.txt:2");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {File("b.txt", std::string("w1\nw2\nw\0w\n", 10))}), SP_EINPUT,
              "b.txt:3");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {File("c.txt", "")}), SP_EINPUT, "empty");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {File("d.txt", "\n\n")}), SP_EINPUT, "nothing is left");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {scratch_ / "absent.txt"}), SP_EIO, "absent.txt");
  ExpectFault(
      Open(SP_OBJECTIVE_MLM, {File("e.jsonl", "{\"id\":\"a\",\"hyps\":[{\"text\":\"x\"}]}\n")}),
      SP_EINPUT, "this looks like jsonl");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}, {}, {File("f.txt", "")}), SP_EINPUT, "f.txt");
  settings_.holdout_every = 10;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EINPUT, "too short to hold out");
}

TEST_F(MlmData, BadSettingsAreNamed) {
  std::string good = File("good.txt", Lines(9));
  sp_train_data_settings kept = settings_;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {}), SP_EUSAGE, "no data");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {"-"}), SP_EUSAGE, "standard input");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}, {"run"}), SP_EUSAGE, "no teacher");
  for (double rate : {0.0, 1.0, std::nan("")}) {
    settings_.mask_rate = rate;
    ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EUSAGE, "masked");
  }
  settings_ = kept;
  settings_.join_share = 1.5;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EUSAGE, "joined");
  settings_ = kept;
  settings_.mask_as_random = 0.3;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EUSAGE, "[MASK]");
  settings_ = kept;
  settings_.max_tokens = 2;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EUSAGE, "takes 3");
  settings_ = kept;
  settings_.holdout_every = 1;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EUSAGE, "nothing to train on");
  settings_.holdout_every = 5;
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}, {}, {good}), SP_EUSAGE, "one of the two");
}

TEST_F(MlmData, AVocabularyWithoutMaskIsRefused) {
  std::string good = File("good.txt", Lines(9));
  Vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
  ExpectFault(Open(SP_OBJECTIVE_MLM, {good}), SP_EMODEL, "[MASK]");
}

TEST_F(MlmData, AFileIsNotBothTrainedOnAndHeldOut) {
  std::string file = File("a.txt", Lines(40)), other = File("b.txt", Lines(4));
  ExpectFault(Open(SP_OBJECTIVE_MLM, {other, file}, {}, {scratch_ / "./a.txt"}), SP_EUSAGE,
              "both trained on and held out");
}

// Room is made for what the data can give, however large the budget.
TEST_F(MlmData, LimitsAreBoundedByTheData) {
  std::string file = File("a.txt", Lines(40));
  for (double share : {0.0, 1.0}) {
    settings_.join_share = share;
    ASSERT_EQ(Open(SP_OBJECTIVE_MLM, {file}), SP_OK) << err_.message;
    size_t tokens, sequences, targets;
    sp_train_data_limits(data_, (size_t)1 << 40, &tokens, &sequences, &targets);
    EXPECT_LE(tokens, share > 0 ? 40 * settings_.max_tokens : 40 * 8);
    EXPECT_EQ(sequences, 40u);
    sp_train_position at{};
    Batch batch = Next(&at, (size_t)1 << 40);
    EXPECT_LE(batch.ids.size(), tokens);
    EXPECT_LE(batch.target_row.size(), targets);
    EXPECT_EQ(batch.item.size(), 40u);
  }
}

// A file of empty lines fills blocks too, or memory would grow with it.
TEST_F(MlmData, EmptyLinesFillABlock) {
  sp_data_block block{};
  sp_data_utt utt{};
  size_t n = 0;
  for (; !sp_data_block_is_full(&block) && n < 100000; n++)
    ASSERT_EQ(sp_buf_append(&block.utts, &utt, sizeof utt, &err_), SP_OK);
  EXPECT_LT(n, 100000u);
  sp_data_block_release(&block);
}

}  // namespace

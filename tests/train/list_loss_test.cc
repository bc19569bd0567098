// list_loss_test.cc - losses on lists against their formulas, finite differences, and what must not matter.
#include "list_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace {

using Floats = std::vector<float>;
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

struct Loss {
  sp_list_loss loss;
  std::vector<double> gradient;
};

Loss Mwer(const Floats &first, const Floats &model, const Floats &errors, double beta = 1) {
  Loss out{{}, std::vector<double>(model.size(), 7)};
  out.loss =
      sp_mwer(first.data(), model.data(), errors.data(), model.size(), beta, out.gradient.data());
  return out;
}
Loss Mwed(const Floats &first, const Floats &model, const Floats &errors, double beta = 1,
          bool detach = false) {
  Loss out{{}, std::vector<double>(model.size(), 7)};
  out.loss = sp_mwed(first.data(), model.data(), errors.data(), model.size(), beta, detach,
                     out.gradient.data());
  return out;
}
Loss Detached(const Floats &first, const Floats &model, const Floats &errors, double beta = 1) {
  return Mwed(first, model, errors, beta, true);
}
Loss Distill(const Floats &model, const Floats &teacher) {
  Loss out{{}, std::vector<double>(model.size(), 7)};
  out.loss = sp_distill(model.data(), teacher.data(), model.size(), out.gradient.data());
  return out;
}
// KL of interpolated scores that are given whole.
double Kl(const Floats &scores, const Floats &errors) {
  return Mwed(Floats(scores.size(), 0), scores, errors).loss.value;
}

const Floats kErrors{0, 1, 2, 4}, kScores{10, 10.4f, 11, 13};
const Floats kNone(4, 0);

Floats Map(const Floats &x, const std::function<float(float)> &f) {
  Floats out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), f);
  return out;
}

struct List {
  Floats first, model, errors;
};
// Scores are multiples of 2^-10, so that steps of finite differences are exact in float.
List RandomList(std::mt19937 &random, size_t n) {
  List list;
  std::uniform_int_distribution<int> score(-40 * 1024, -1024), error(0, 9);
  for (size_t i = 0; i < n; i++) {
    list.first.push_back(static_cast<float>(score(random)) / 1024 / 4);
    list.model.push_back(static_cast<float>(score(random)) / 1024 / 4);
    list.errors.push_back(static_cast<float>(error(random)));
  }
  list.errors[0] = 3;
  return list;
}

using Function = std::function<Loss(const Floats &, const Floats &, const Floats &, double)>;

void ExpectGradientIsTheSlope(const Function &f, const List &list, double beta) {
  Loss at = f(list.first, list.model, list.errors, beta);
  ASSERT_FALSE(at.loss.skipped);
  const float step = 0x1p-10f;
  double largest = 0;
  for (double g : at.gradient)
    largest = std::max(largest, std::fabs(g));
  for (size_t i = 0; i < list.model.size(); i++) {
    // Five points: the error is of the fourth order.
    auto value = [&](float off) {
      Floats model = list.model;
      model[i] += off * step;
      return f(list.first, model, list.errors, beta).loss.value;
    };
    double slope =
        (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * static_cast<double>(step));
    EXPECT_TRUE(std::fabs(slope - at.gradient[i]) <= 1e-8 * (largest + 1e-3))
        << i << ": " << slope << " " << at.gradient[i];
  }
}

TEST(Mwer, GradientIsTheSlope) {
  std::mt19937 random(1);
  for (size_t n : {2, 3, 10, 40}) {
    for (double beta : {1.0, 0.3, 2.5})
      ExpectGradientIsTheSlope(Mwer, RandomList(random, n), beta);
  }
}

TEST(Mwer, IsTheExpectedErrorsLessTheMean) {
  Loss got = Mwer({0, 0, 0}, {std::log(0.5f), std::log(0.25f), std::log(0.25f)}, {1, 2, 6});
  EXPECT_NEAR(got.loss.value, 0.5 * 1 + 0.25 * 2 + 0.25 * 6 - 3, 1e-6);
  EXPECT_EQ(got.loss.used, 3u);
}

TEST(Mwer, ABetterScoreOfABetterHypothesisLowersIt) {
  EXPECT_LT(Mwer({0, 0}, {0, 0}, {0, 4}).gradient[0], 0);
  EXPECT_GT(Mwer({0, 0}, {0, 0}, {0, 4}).gradient[1], 0);
}

TEST(Mwer, AConstantMoreErrorsChangesNothing) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 50; trial++) {
    List list = RandomList(random, 8);  // a mean of eight small whole numbers is exact
    Loss one = Mwer(list.first, list.model, list.errors, 0.7);
    Loss two = Mwer(list.first, list.model, Map(list.errors, [](float e) { return e + 16; }), 0.7);
    EXPECT_EQ(one.loss.value, two.loss.value);
    EXPECT_EQ(one.gradient, two.gradient);
  }
}

TEST(Mwer, AConstantOnAllScoresChangesNothing) {
  std::mt19937 random(3);
  List list = RandomList(random, 9);
  Loss one = Mwer(list.first, list.model, list.errors);
  Loss two = Mwer(Map(list.first, [](float a) { return a - 512; }), list.model, list.errors);
  EXPECT_NEAR(one.loss.value, two.loss.value, 1e-12);
}

TEST(Mwer, EqualErrorsGiveExactlyNothing) {
  std::mt19937 random(4);
  for (float e : {0.0f, 1.0f, 0.3f, 400.0f}) {
    List list = RandomList(random, 7);
    Loss got = Mwer(list.first, list.model, Floats(7, e), 1.5);
    EXPECT_FALSE(got.loss.skipped);
    EXPECT_EQ(got.loss.value, 0);
    EXPECT_EQ(got.gradient, std::vector<double>(7, 0.0));
  }
}

TEST(Mwer, GradientsAddUpToNothing) {
  std::mt19937 random(5);
  List list = RandomList(random, 20);
  double sum = 0;
  for (double g : Mwer(list.first, list.model, list.errors, 0.8).gradient)
    sum += g;
  EXPECT_NEAR(sum, 0, 1e-14);
}

TEST(Mwed, GradientIsTheSlope) {
  std::mt19937 random(6);
  for (size_t n : {2, 3, 10, 40}) {
    for (double beta : {1.0, 0.3, 2.5})
      ExpectGradientIsTheSlope([](auto &a, auto &l, auto &e, double b) { return Mwed(a, l, e, b); },
                               RandomList(random, n), beta);
  }
}

// Values of methods.md 1.7.
TEST(Mwed, GoldenValues) {
  EXPECT_NEAR(Kl(kScores, kErrors), 0.568599, 1e-6);
  EXPECT_NEAR(Kl(Map(kScores, [](float s) { return -s; }), kErrors), 0.568599, 1e-6);
  EXPECT_NEAR(Kl(Map(kScores, [](float s) { return 3 * s; }), kErrors), 0.568599, 1e-6);
  EXPECT_NEAR(Kl(Map(kScores, [](float s) { return s + 100; }), kErrors), 0.767, 5e-4);
}

TEST(Mwed, IsZeroWhereScoresAreErrorsTimesAnything) {
  for (float c : {2.0f, -2.0f, 0.25f}) {
    Loss got = Mwed(kNone, Map(kErrors, [c](float e) { return c * e; }), kErrors);
    EXPECT_NEAR(got.loss.value, 0, 1e-14);
    for (double g : got.gradient)
      EXPECT_NEAR(g, 0, 1e-14);
  }
}

TEST(Mwed, TheTargetIsHeaviestOnTheWorst) {
  // Scores that are all alike: the KL is log n less the entropy of softmax(e).
  double sum = 0, entropy = 0;
  for (float e : kErrors)
    sum += std::exp(static_cast<double>(e));
  for (float e : kErrors)
    entropy -= std::exp(static_cast<double>(e)) / sum * (e - std::log(sum));
  EXPECT_NEAR(Kl({-5, -5, -5, -5}, kErrors), std::log(4.0) - entropy, 1e-12);
}

TEST(Mwed, TheSignOfScoresTurnsTheGradientAlone) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 50; trial++) {
    List list = RandomList(random, 6);
    Floats scores(6);
    for (size_t i = 0; i < 6; i++)
      scores[i] = list.first[i] + list.model[i];
    Floats turned = Map(scores, [](float s) { return -s; });
    Floats none(6, 0);
    Loss one = Mwed(none, scores, list.errors), two = Mwed(none, turned, list.errors);
    EXPECT_EQ(one.loss.value, two.loss.value);
    for (size_t i = 0; i < 6; i++)
      EXPECT_EQ(one.gradient[i], -two.gradient[i]);
  }
}

double Dot(const List &list, double beta, const std::vector<double> &gradient) {
  double dot = 0, size = 0;
  for (size_t i = 0; i < gradient.size(); i++) {
    double term = (list.first[i] + beta * list.model[i]) * gradient[i] / beta;
    dot += term;
    size += std::fabs(term);
  }
  return dot / size;
}

TEST(Mwed, NoGradientAlongTheScoresThemselves) {
  std::mt19937 random(8);
  for (int trial = 0; trial < 50; trial++) {
    List list = RandomList(random, 2 + random() % 12);
    EXPECT_NEAR(Dot(list, 0.6, Mwed(list.first, list.model, list.errors, 0.6).gradient), 0, 1e-12);
  }
  List list = RandomList(random, 9);
  EXPECT_GT(std::fabs(Dot(list, 0.6, Detached(list.first, list.model, list.errors, 0.6).gradient)),
            1e-3);
}

TEST(Mwed, DetachedGradientIsThatOfAConstantTemperature) {
  std::mt19937 random(9);
  for (int trial = 0; trial < 50; trial++) {
    const size_t n = 2 + random() % 12;
    const double beta = 0.4;
    List list = RandomList(random, n);
    double sum_s = 0, sum_e = 0, of_s = 0, of_e = 0;
    std::vector<double> s(n);
    for (size_t i = 0; i < n; i++) {
      s[i] = list.first[i] + beta * list.model[i];
      sum_s += s[i];
      sum_e += list.errors[i];
    }
    double t = sum_s / sum_e;
    for (size_t i = 0; i < n; i++) {
      of_s += std::exp(s[i] / t);
      of_e += std::exp(static_cast<double>(list.errors[i]));
    }
    Loss got = Detached(list.first, list.model, list.errors, beta);
    EXPECT_EQ(got.loss.value, Mwed(list.first, list.model, list.errors, beta).loss.value);
    for (size_t i = 0; i < n; i++) {
      double want =
          beta *
          (std::exp(s[i] / t) / of_s - std::exp(static_cast<double>(list.errors[i])) / of_e) / t;
      EXPECT_NEAR(got.gradient[i], want, 1e-9 * beta / std::fabs(t));
    }
  }
}

TEST(Mwed, WhatHasNoTemperatureIsSkipped) {
  const std::vector<double> nothing(4, 0.0);
  auto expect_skipped = [&](const Floats &model, const Floats &errors) {
    for (bool detach : {false, true}) {
      Loss got = Mwed(kNone, model, errors, 1, detach);
      EXPECT_TRUE(got.loss.skipped);
      EXPECT_EQ(got.loss.value, 0);
      EXPECT_EQ(got.gradient, nothing);
    }
  };
  expect_skipped(kScores, {0, 0, 0, 0});
  expect_skipped({-1, 1, -2, 2}, kErrors);
  expect_skipped({0, 0, 0, 0}, kErrors);
  expect_skipped(kScores, {kMissing, kMissing, kMissing, 3});
  EXPECT_FALSE(Mwed(kNone, {-1, 1, -2, 2.5f}, kErrors).loss.skipped);
}

TEST(Mwed, EqualErrorsAreNoReasonToSkip) {
  Loss got = Mwed(kNone, {-1, -2, -3, -4}, {2, 2, 2, 2});
  EXPECT_FALSE(got.loss.skipped);
  EXPECT_GT(got.loss.value, 0);
}

TEST(Lists, OneHypothesisTeachesNothing) {
  for (const Function &f : {Function(Mwer), Function(Detached)}) {
    Loss got = f({-1, kMissing}, {-2, -3}, {1, 2}, 1);
    EXPECT_TRUE(got.loss.skipped);
    EXPECT_EQ(got.loss.used, 1u);
    EXPECT_EQ(got.gradient, std::vector<double>(2, 0.0));
    EXPECT_TRUE(f({}, {}, {}, 1).loss.skipped);
  }
}

// What is missing is put in anywhere, whatever the rest of its numbers is: nothing changes by a bit.
TEST(Lists, MissingHypothesesNeverMatter) {
  const float worst[] = {kMissing, std::numeric_limits<float>::infinity(),
                         -std::numeric_limits<float>::infinity()};
  const Function functions[] = {
      Mwer, Detached, [](auto &a, auto &l, auto &e, double b) { return Mwed(a, l, e, b); },
      [](auto &, auto &l, auto &e, double) { return Distill(l, e); }};
  std::mt19937 random(10);
  for (int trial = 0; trial < 400; trial++) {
    List list = RandomList(random, 1 + random() % 6);
    const Function &f = functions[trial % 4];
    Loss whole = f(list.first, list.model, list.errors, 0.7);
    std::vector<bool> there(list.first.size(), true);
    for (int k = 0; k < 1 + trial % 5; k++) {
      auto at = static_cast<std::ptrdiff_t>(random() % (there.size() + 1));
      bool by_errors = trial % 4 == 3 || random() % 2 == 0;
      list.first.insert(list.first.begin() + at, by_errors ? -3 : worst[random() % 3]);
      list.model.insert(list.model.begin() + at, random() % 2 ? kMissing : -1000);
      list.errors.insert(list.errors.begin() + at, by_errors ? worst[random() % 3] : 5);
      there.insert(there.begin() + at, false);
    }
    Loss holed = f(list.first, list.model, list.errors, 0.7);
    EXPECT_EQ(whole.loss.value, holed.loss.value);
    EXPECT_EQ(whole.loss.skipped, holed.loss.skipped);
    EXPECT_EQ(whole.loss.used, holed.loss.used);
    auto next = whole.gradient.begin();
    for (size_t i = 0; i < there.size(); i++)
      EXPECT_EQ(holed.gradient[i], there[i] ? *next++ : 0) << trial;
  }
}

TEST(Lists, LargeNumbersStayNumbers) {
  for (const Function &f :
       {Function(Mwer), Function(Detached),
        Function([](auto &a, auto &l, auto &e, double b) { return Mwed(a, l, e, b); })}) {
    Loss got = f({-1e4f, -1.2e4f, 0}, {-3e4f, -1, -2e4f}, {400, 0, 17}, 1);
    EXPECT_FALSE(got.loss.skipped);
    EXPECT_TRUE(std::isfinite(got.loss.value));
    for (double g : got.gradient)
      EXPECT_TRUE(std::isfinite(g));
  }
  // By far the best score has no errors: all but the mean is gone.
  EXPECT_EQ(Mwer({0, 0, 0}, {-1, -1e4f, -2e4f}, {0, 400, 200}).loss.value, -200);
}

TEST(Lists, AModelThatStrayedIsSeen) {
  for (float bad : {kMissing, std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    Floats model{-1, bad, -2, -3};
    for (const Loss &got : {Mwer(kNone, model, kErrors), Mwed(kNone, model, kErrors)}) {
      EXPECT_TRUE(std::isnan(got.loss.value));
      EXPECT_FALSE(got.loss.skipped);
    }
    EXPECT_FALSE(std::isfinite(Distill(model, {-1, -1, -1, -1}).loss.value));
  }
}

TEST(Distill, SquaredErrorsOverWhatTheTeacherScored) {
  Loss got = Distill({-1, -2, -3}, {-1.5f, kMissing, -5});
  EXPECT_EQ(got.loss.value, 0.25 + 4);
  EXPECT_EQ(got.gradient, (std::vector<double>{1, 0, 4}));
  EXPECT_EQ(got.loss.used, 2u);
  EXPECT_FALSE(got.loss.skipped);
  EXPECT_TRUE(Distill({-1}, {kMissing}).loss.skipped);
}

}  // namespace

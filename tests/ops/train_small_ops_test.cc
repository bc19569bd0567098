// embed, segment_add, gather, soften, adamw and square_sum of training against double references.
#include <algorithm>
#include <numeric>

#include "train_test.h"

namespace {

using namespace sp_test;

class TrainOpsTest : public TrainTest {
 protected:
  void Open(size_t rows, size_t width, size_t threads = 2) {
    sp_train_limits limits{};
    limits.rows = rows;
    limits.sequences = limits.length = limits.heads = limits.head_dim = 1;
    limits.width = width;
    limits.threads = threads;
    OpenTrainer(limits);
  }
  std::vector<size_t> ThreadCounts() const {
    return IsCpu() ? std::vector<size_t>(std::begin(kThreads), std::end(kThreads))
                   : std::vector<size_t>{1};
  }
};

/* ---- tables ---- */

TEST_P(TrainOpsTest, EmbedMatchesTheReference) {
  const size_t v = 11, p = 7, rows = 130;
  std::vector<int32_t> ids(rows);
  std::vector<uint32_t> at(rows);
  for (size_t t = 0; t < rows; t++) {
    ids[t] = static_cast<int32_t>(t * 7 % v);
    at[t] = static_cast<uint32_t>(t * 3 % p);
  }
  for (size_t d : {1, 2, 15, 17, 32, 312}) {
    Open(rows, d);
    std::vector<float> words = Random(v * d, 1.0f, 51), positions = Random(p * d, 1.0f, 52),
                       type = Random(d, 1.0f, 53);
    sp_train_embed_args a{};
    a.words = Put(words);
    a.positions = Put(positions);
    a.type = Put(type);
    a.ids = Put(ids);
    a.position = Put(at);
    a.rows = rows;
    a.d = d;
    a.x = Put(std::vector<float>(rows * d, NAN));
    ASSERT_EQ(ops_->embed(trainer_, &a, &err_), SP_OK) << err_.message;
    std::vector<double> want(rows * d);
    for (size_t i = 0; i < want.size(); i++) {
      want[i] = static_cast<double>(words[static_cast<size_t>(ids[i / d]) * d + i % d]) +
                positions[at[i / d] * d + i % d] + type[i % d];
    }
    ExpectWithin(Fetch<float>(a.x, rows * d), want, std::vector<double>(rows * d, 8 * kEps),
                 "width " + std::to_string(d));
  }
}

struct Segments {
  std::vector<uint32_t> row, start{0}, target;
};

// One group of all rows, groups of few, one of none; targets backwards with gaps.
Segments Make(size_t rows, size_t groups) {
  Segments s;
  for (size_t g = 0; g < groups; g++) {
    size_t members = g == 1 ? rows : g == 2 ? 0 : g % 5 + 1;
    for (size_t m = 0; m < members; m++)
      s.row.push_back(static_cast<uint32_t>((g * 31 + m * 17) % rows));
    s.start.push_back(static_cast<uint32_t>(s.row.size()));
    s.target.push_back(static_cast<uint32_t>(2 * (groups - g) - 1));
  }
  return s;
}

TEST_P(TrainOpsTest, SegmentAddMatchesTheReferenceForAnyNumberOfThreads) {
  const size_t rows = 400;
  for (size_t d : {1, 3, 16, 63, 64, 65, 80, 129, 256}) {
    for (size_t groups : {1, 2, 33, 70}) {
      Segments s = Make(rows, groups);
      std::vector<float> from = Random(rows * d, 1.0f, 61), to = Random(2 * groups * d, 1.0f, 62);
      std::vector<double> want(to.begin(), to.end()), bound(to.size());
      for (size_t g = 0; g < groups; g++) {
        for (size_t m = s.start[g]; m < s.start[g + 1]; m++) {
          for (size_t i = 0; i < d; i++) {
            want[s.target[g] * d + i] += from[s.row[m] * d + i];
            bound[s.target[g] * d + i] += std::fabs(from[s.row[m] * d + i]);
          }
        }
        for (size_t i = 0; i < d; i++) {
          double &b = bound[s.target[g] * d + i];
          b = (b + 1) * (s.start[g + 1] - s.start[g] + 1) * kEps;
        }
      }
      std::vector<float> first;
      for (size_t threads : ThreadCounts()) {
        Open(rows, d, threads);
        sp_train_segment_args a{};
        a.from = Put(from);
        a.row = Put(s.row);
        a.start = Put(s.start);
        a.target = Put(s.target);
        a.groups = groups;
        a.members = s.row.size();
        a.d = d;
        a.to = Put(to);
        ASSERT_EQ(ops_->segment_add(trainer_, &a, &err_), SP_OK) << err_.message;
        std::vector<float> got = Fetch<float>(a.to, to.size());
        if (first.empty())
          first = got;
        EXPECT_EQ(got, first) << threads << " threads";
      }
      ExpectWithin(first, want, bound, "width " + std::to_string(d));
    }
  }
}

TEST_P(TrainOpsTest, GatherCopiesRows) {
  const size_t from_rows = 9, rows = 150;
  std::vector<uint32_t> index(rows);
  for (size_t r = 0; r < rows; r++)
    index[r] = static_cast<uint32_t>(r * 5 % from_rows);
  Open(rows, 64);
  for (size_t columns : {1, 7, 24, 33}) {
    std::vector<uint16_t> from(from_rows * columns), want;
    std::iota(from.begin(), from.end(), uint16_t{1});
    for (uint32_t r : index)
      want.insert(want.end(), &from[r * columns], &from[r * columns] + columns);
    uint16_t *to = Put(std::vector<uint16_t>(rows * columns));
    ASSERT_EQ(ops_->gather(trainer_, Put(from), 2 * columns, Put(index), rows, to, &err_), SP_OK);
    EXPECT_EQ(Fetch<uint16_t>(to, rows * columns), want);
  }
}

/* ---- soft masks ---- */

struct Soft {
  std::vector<double> log_a, d_g;
};

double LogSigmoid(double x) {
  return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
}

// d_g is the gradient of sum over the cells inside of d_log_a log_a.
Soft Exact(const std::vector<double> &g, const std::vector<uint32_t> &room, size_t reach,
           double tau, bool span, const std::vector<double> &d_log_a) {
  Soft s{std::vector<double>(g.size(), -INFINITY), std::vector<double>(g.size())};
  for (size_t r = 0; r < room.size(); r++) {
    size_t inside = std::min<size_t>(room[r], reach);
    for (size_t c = 0; c < inside; c++) {
      size_t at = r * reach + c;
      s.log_a[at] = LogSigmoid(tau * g[at]) + (span && c > 0 ? s.log_a[at - 1] : 0);
      for (size_t m = span ? 0 : c; m <= c; m++) {
        double x = tau * g[r * reach + m];
        s.d_g[r * reach + m] += d_log_a[at] * tau * std::exp(LogSigmoid(-x));
      }
    }
  }
  return s;
}

TEST(TrainSoftenReference, FiniteDifferencesAgree) {
  const size_t reach = 4;
  const std::vector<uint32_t> room = {4, 2, 0, 9};
  std::vector<float> g0 = Random(16, 2.0f, 71), d0 = Random(16, 1.0f, 72);
  std::vector<double> g(g0.begin(), g0.end()), d(d0.begin(), d0.end());
  for (bool span : {false, true}) {
    auto loss = [&]() {
      Soft s = Exact(g, room, reach, 1.7, span, d);
      double sum = 0;
      for (size_t i = 0; i < g.size(); i++)
        sum += s.log_a[i] == -INFINITY ? 0 : d[i] * s.log_a[i];
      return sum;
    };
    Soft s = Exact(g, room, reach, 1.7, span, d);
    for (size_t i = 0; i < g.size(); i++) {
      const double was = g[i], h = 1e-5;
      g[i] = was + h;
      double up = loss();
      g[i] = was - h;
      EXPECT_NEAR(s.d_g[i], (up - loss()) / (2 * h), 1e-8) << i;
      g[i] = was;
    }
  }
}

TEST_P(TrainOpsTest, SoftenMatchesTheReference) {
  const size_t rows = 131;
  std::vector<uint32_t> room(rows);
  for (size_t r = 0; r < rows; r++)
    room[r] = static_cast<uint32_t>(rows - 1 - r);
  for (size_t reach : {1, 2, 7, 32}) {
    for (float tau : {0.5f, 1.0f, 40.0f}) {
      for (bool span : {false, true}) {
        std::vector<float> g = Random(rows * reach, 4.0f, 81), d = Random(rows * reach, 1.0f, 82);
        g[0] = 90.0f;  // e^(tau g) overflows either way
        g[reach] = -90.0f;
        for (size_t r = 0; r < rows; r++) {
          for (size_t c = room[r]; c < reach; c++)
            g[r * reach + c] = d[r * reach + c] = NAN;  // beyond the sequence: read by nobody
        }
        std::vector<double> g2(g.begin(), g.end()), d2(d.begin(), d.end());
        Soft want = Exact(g2, room, reach, tau, span, d2);
        sp_train_soften_backward_args b{};
        b.forward.g = Put(g);
        b.forward.room = Put(room);
        b.forward.rows = rows;
        b.forward.reach = reach;
        b.forward.tau = tau;
        b.forward.span = span;
        b.forward.log_a = Put(std::vector<float>(g.size(), NAN));
        b.d_log_a = Put(d);
        b.d_g = Put(std::vector<float>(g.size(), NAN));
        Open(rows, reach);
        ASSERT_EQ(ops_->soften(trainer_, &b.forward, &err_), SP_OK) << err_.message;
        ASSERT_EQ(ops_->soften_backward(trainer_, &b, &err_), SP_OK) << err_.message;
        std::vector<float> log_a = Fetch<float>(b.forward.log_a, g.size());
        std::vector<float> d_g = Fetch<float>(b.d_g, g.size());
        for (size_t i = 0; i < g.size(); i++) {
          size_t r = i / reach, count = reach + 8;
          if (i % reach >= room[r]) {
            EXPECT_EQ(log_a[i], -INFINITY) << i;
            EXPECT_EQ(d_g[i], 0.0f) << i;
            continue;
          }
          double x = tau * g2[i], size = 0, slip = 0;
          for (size_t m = i; m < (r + 1) * reach && m % reach < room[r]; m++)
            size += std::fabs(d2[m]);
          for (size_t m = span ? r * reach : i; m <= i; m++) {  // e^x is off by eps |x|
            double y = std::fabs(tau * g2[m]);
            slip += 4 * kEps * y * std::exp(-y);
          }
          EXPECT_TRUE(std::fabs(log_a[i] - want.log_a[i]) <=
                      static_cast<double>(count) * kEps * std::fabs(want.log_a[i]) + slip + 1e-37)
              << i << ": " << log_a[i] << ", want " << want.log_a[i];
          double slope = tau * std::exp(LogSigmoid(-x));
          EXPECT_TRUE(std::fabs(d_g[i] - want.d_g[i]) <=
                      slope * size * kEps * (static_cast<double>(count) + 4 * std::fabs(x)) + 1e-37)
              << i << ": " << d_g[i] << ", want " << want.d_g[i];
        }
      }
    }
  }
}

TEST_P(TrainOpsTest, HardMasksRound) {
  // tau 1; of a span the products are .73 .54 .27 .13 and .5 .25 ..
  const std::vector<float> g = {1.0f, 1.0f, 0.0f,   -0.1f, 0.0f, 0.0f,   -0.0f, 5.0f,
                                NAN,  1.0f, -1e-9f, 8.0f,  8.0f, -1e-9f, 8.0f,  8.0f};
  const std::vector<uint32_t> room = {9, 9, 9, 2};
  const std::vector<int> cells = {1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0},
                         span = {1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
  Open(4, 4);
  for (bool is_span : {false, true}) {
    sp_train_soften_args a{};
    a.g = Put(g);
    a.room = Put(room);
    a.rows = a.reach = 4;
    a.tau = 1;
    a.hard = true;
    a.span = is_span;
    a.log_a = Put(std::vector<float>(16, NAN));
    ASSERT_EQ(ops_->soften(trainer_, &a, &err_), SP_OK) << err_.message;
    std::vector<float> got = Fetch<float>(a.log_a, 16);
    for (size_t i = 0; i < 16; i++)
      EXPECT_EQ(got[i], (is_span ? span : cells)[i] ? 0.0f : -INFINITY) << is_span << " " << i;
  }
}

/* ---- updates ---- */

TEST_P(TrainOpsTest, AdamwMatchesTheReferenceOverSteps) {
  Open(1, 1);
  for (size_t n : {1, 15, 16, 17, 1000, 16384, 16385, 40001}) {
    sp_train_adamw_args a{};
    std::vector<float> p0 = Random(n, 1.0f, 91);
    std::vector<double> p(p0.begin(), p0.end()), m(n), v(n), bound(n, 0);
    a.param = Put(p0);
    a.m = Put(std::vector<float>(n));
    a.v = Put(std::vector<float>(n));
    a.count = n;
    a.clip = 0.7f;
    a.rate = 0.01f;
    a.beta1 = 0.9f;
    a.beta2 = 0.999f;
    a.eps = 1e-8f;
    a.decay = 0.1f;
    for (int t = 1; t <= 3; t++) {
      std::vector<float> grad = Random(n, 2.0f, 92 + static_cast<uint32_t>(t));
      grad[0] = 0;
      a.grad = Put(grad);
      a.correction1 = 1 - std::pow(a.beta1, static_cast<float>(t));
      a.correction2 = 1 - std::pow(a.beta2, static_cast<float>(t));
      ASSERT_EQ(ops_->adamw(trainer_, &a, &err_), SP_OK) << err_.message;
      for (size_t i = 0; i < n; i++) {
        double c = static_cast<double>(a.clip) * grad[i], b1 = a.beta1, b2 = a.beta2;
        m[i] = b1 * m[i] + (1 - b1) * c;
        v[i] = b2 * v[i] + (1 - b2) * c * c;
        double step = m[i] / a.correction1 / (std::sqrt(v[i] / a.correction2) + a.eps);
        p[i] -= a.rate * (step + a.decay * p[i]);
        bound[i] += 4 * kEps * std::fabs(p[i]) + a.rate * (64 * kEps + 8 * kEps * std::fabs(p[i]));
      }
    }
    ExpectWithin(Fetch<float>(a.param, n), p, bound, "count " + std::to_string(n));
    std::vector<double> m_bound(n, 16 * kEps), v_bound(n);
    for (size_t i = 0; i < n; i++)
      v_bound[i] = 16 * kEps * v[i];
    ExpectWithin(Fetch<float>(a.m, n), m, m_bound, "m");
    ExpectWithin(Fetch<float>(a.v, n), v, v_bound, "v");
  }
}

TEST_P(TrainOpsTest, AdamwKeepsANan) {
  Open(1, 1);
  std::vector<float> grad(20, 1.0f);
  grad[18] = NAN;
  sp_train_adamw_args a{};
  a.param = Put(std::vector<float>(20, 1.0f));
  a.m = Put(std::vector<float>(20));
  a.v = Put(std::vector<float>(20));
  a.grad = Put(grad);
  a.count = 20;
  a.clip = a.correction1 = a.correction2 = 1;
  a.rate = a.eps = 0.1f;
  ASSERT_EQ(ops_->adamw(trainer_, &a, &err_), SP_OK);
  std::vector<float> p = Fetch<float>(a.param, 20);
  for (size_t i = 0; i < 20; i++)
    EXPECT_EQ(std::isnan(p[i]), i == 18) << i;
}

TEST_P(TrainOpsTest, SquareSumMatchesTheReferenceForAnyNumberOfThreads) {
  for (size_t n : {size_t{0}, size_t{1}, size_t{15}, size_t{17}, size_t{16383}, size_t{16384},
                   size_t{16385}, size_t{100003}, size_t{4200001}}) {
    if (n > 1000000 && (kSlowDevice || std::string(GetParam().spec) != ""))
      continue;
    std::vector<float> x = Random(n, 3.0f, 95);
    double want = 0;
    for (float e : x)
      want += static_cast<double>(e) * e;
    const float *on_device = Put(x);
    double first = -1;
    for (size_t threads : ThreadCounts()) {
      Open(1, 1, threads);
      double got = NAN;
      ASSERT_EQ(ops_->square_sum(trainer_, on_device, n, &got, &err_), SP_OK) << err_.message;
      EXPECT_TRUE(std::fabs(got - want) <= 1e-12 * want) << n << ": " << got << ", want " << want;
      if (first < 0)
        first = got;
      EXPECT_EQ(got, first) << threads << " threads";
    }
  }
}

TEST_P(TrainOpsTest, SquareSumPassesNanAndInfinityOn) {
  Open(1, 1);
  for (float bad : {NAN, INFINITY}) {
    std::vector<float> x(50, 1.0f);
    x[49] = bad;
    double got = 0;
    ASSERT_EQ(ops_->square_sum(trainer_, Put(x), 50, &got, &err_), SP_OK);
    EXPECT_EQ(std::isnan(got), std::isnan(bad));
    EXPECT_FALSE(std::isfinite(got));
  }
}

SP_OP_CASES(TrainOpsTest);

}  // namespace

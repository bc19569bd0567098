// Every slip of the keyboard ends in exit code 2, one message that names it, and the place to read
// on.
#include <gtest/gtest.h>

#include "program.h"

namespace sp_test {
namespace {

struct Slip {
  const char *arguments, *message, *hint;
};

class UsageTest : public ::testing::TestWithParam<Slip> {};

TEST_P(UsageTest, IsNamedWithExitCodeTwo) {
  const Slip &slip = GetParam();
  Said said = Program(slip.arguments);
  EXPECT_EQ(said.code, 2);
  EXPECT_EQ(said.out, "") << "standard output is for data";
  EXPECT_EQ(said.err, std::string("secondpass: ") + slip.message +
                          "\nsecondpass: see `secondpass " + slip.hint + "`\n");
}

#define SCORE_USAGE "usage: secondpass score --model DIR --out RUN|- [OPTIONS] ARCHIVE..."

const Slip commands[] = {
    {"", "usage: secondpass COMMAND [OPTIONS] [ARGUMENTS]", "help"},
    {"scroe", "unknown command 'scroe'; did you mean 'score'?", "help"},
    {"benhc", "unknown command 'benhc'; did you mean 'bench'?", "help"},
    {"frobnicate", "unknown command 'frobnicate'", "help"},
    {"''", "unknown command ''", "help"},
    {"--verison", "unknown option --verison; did you mean --version?", "help"},
    {"--model x score", "unknown option --model; options follow the command's name", "help"},
    {"bench", "usage: secondpass bench NAME [OPTIONS] [ARGUMENTS]", "help bench"},
    {"bench --jsn io", "unknown option --jsn; options follow the command's name", "help bench"},
    {"bench --help=x", "--help takes no value", "help bench"},
    {"--version=1", "--version takes no value", "help"},
    {"-verison", "unknown option -verison; did you mean --version?", "help"},
    {"bench oi", "unknown command 'bench oi'; did you mean 'bench io'?", "help bench"},
    {"help scor", "unknown command 'scor'; did you mean 'score'?", "help"},
    {"help score io", "unknown command 'score io'", "help"},
};
INSTANTIATE_TEST_SUITE_P(Commands, UsageTest, ::testing::ValuesIn(commands));

const Slip options[] = {
    {"score --modl x", "unknown option --modl; did you mean --model?", "help score"},
    {"score --mehtod=pll", "unknown option --mehtod; did you mean --method?", "help score"},
    {"score --per-tok", "unknown option --per-tok; did you mean --per-token?", "help score"},
    {"score --zzzzzz", "unknown option --zzzzzz", "help score"},
    {"score -m x", "unknown option -m", "help score"},
    {"score --model", "--model needs a value (DIR)", "help score"},
    {"score --model=", "--model needs a value (DIR)", "help score"},
    {"score --model ''", "--model needs a value (DIR)", "help score"},
    {"score --model --out run",
     "--model needs a value (DIR), but --out follows; write --model=--out to mean it",
     "help score"},
    {"score --json=1", "--json takes no value", "help score"},
    {"score --out run a", "--model DIR is missing; " SCORE_USAGE, "help score"},
    {"score --model m a", "--out RUN|- is missing; " SCORE_USAGE, "help score"},
    {"score --model m --out run", "an ARCHIVE is missing; " SCORE_USAGE, "help score"},
    {"score --model m --out run --mask bidi a",
     "--mask 'bidi' is unknown; it takes model, full, causal, layerwise:R[,R..] with R from 1 to "
     "32 "
     "(0 too in a list), chunked:C with C from 1 to 1048576, or dynamic",
     "help score"},
    {"score --mask --force-mask",
     "--mask needs a value (MASK), but --force-mask follows; write --mask=--force-mask to mean it",
     "help score"},
    {"score --force-mask=causal", "--force-mask takes no value", "help score"},
    {"plan a", "--model DIR is missing; usage: secondpass plan --model DIR [OPTIONS] ARCHIVE...",
     "help plan"},
    {"vocab --size 100 --out d",
     "--data FILE is missing; usage: secondpass vocab --data FILE --size N --out DIR [OPTIONS] "
     "[FILE...]",
     "help vocab"},
    {"vocab --data a --out d",
     "--size N is missing; usage: secondpass vocab --data FILE --size N --out DIR [OPTIONS] "
     "[FILE...]",
     "help vocab"},
    {"vocab --data a --size 5 --out d", "--size: '5' is not a whole number from 6 to 16777216",
     "help vocab"},
    {"verify", "an argument is missing; usage: secondpass verify [--json] RUN", "help verify"},
    {"verify a b", "too many arguments ('b'); usage: secondpass verify [--json] RUN",
     "help verify"},
    {"status", "an argument is missing; usage: secondpass status [OPTIONS] RUN", "help status"},
    {"status --every 0 run", "--every: '0' is not a number over 0 and up to 86400", "help status"},
    {"status --watch=5 run", "--watch takes no value", "help status"},
    {"merge a --out b",
     "an argument is missing; usage: secondpass merge --out RUN [--json] RUN RUN...", "help merge"},
    {"merge a b", "--out RUN is missing; usage: secondpass merge --out RUN [--json] RUN RUN...",
     "help merge"},
    {"cat", "an argument is missing; usage: secondpass cat [--limit N] [--partial] RUN",
     "help cat"},
    {"cat -- --partial run",
     "too many arguments ('run'); usage: secondpass cat [--limit N] [--partial] RUN", "help cat"},
    {"model", "an argument is missing; usage: secondpass model [--json] DIR", "help model"},
    {"env all", "too many arguments ('all'); usage: secondpass env [--json]", "help env"},
    {"bench io --model m -", "standard input cannot be read several times; give files",
     "help bench io"},
};
INSTANTIATE_TEST_SUITE_P(Options, UsageTest, ::testing::ValuesIn(options));

#define THREADS "--threads: "
#define TO_1024 " is not a whole number from 1 to 1024"
const Slip values[] = {
    {"score --threads -1", THREADS "'-1'" TO_1024, "help score"},
    {"score --threads 0", THREADS "'0'" TO_1024, "help score"},
    {"score --threads 1025", THREADS "'1025'" TO_1024, "help score"},
    {"score --threads 2x", THREADS "'2x'" TO_1024, "help score"},
    {"score --threads ' 2'", THREADS "' 2'" TO_1024, "help score"},
    {"score --threads 1.5", THREADS "'1.5'" TO_1024, "help score"},
    {"score --threads 0x10", THREADS "'0x10'" TO_1024, "help score"},
    {"score --threads 18446744073709551617", THREADS "'18446744073709551617'" TO_1024,
     "help score"},
    {"score --limit 18446744073709551616",
     "--limit: '18446744073709551616' is not a whole number from 1 to 18446744073709551615",
     "help score"},
    {"score --shard-utts 4294967296",
     "--shard-utts: '4294967296' is not a whole number from 1 to 4294967295", "help score"},
    {"score --batch-tokens many", "--batch-tokens: 'many' is not a whole number from 1 to 16777216",
     "help score"},
    {"score --dtype fp32", "--dtype: 'fp32' is none of auto, f32, bf16; did you mean 'f32'?",
     "help score"},
    {"score --method ppl",
     "--method: 'ppl' is none of pll, pll_l2r, cls, maskless; did you mean 'pll'?", "help score"},
    {"score --method pll,", "--method: '' is none of pll, pll_l2r, cls, maskless", "help score"},
    {"score --method pll,,cls", "--method: '' is none of pll, pll_l2r, cls, maskless",
     "help score"},
    {"score --format json",
     "--format: 'json' is none of auto, jsonl, mlm, espnet2, espnet1, kaldi, nemo, nemo-tsv, "
     "hyporadise, moses, fairseq, tsv, trn, kaldi-text, text; did you mean 'jsonl'?",
     "help score"},
    {"score --without hed",
     "--without: 'hed' is none of head, trim, pack, dedupe, nodes; did you mean 'head'?",
     "help score"},
    {"score --method pll,maskles",
     "--method: 'maskles' is none of pll, pll_l2r, cls, maskless; did you mean 'maskless'?",
     "help score"},
    {"score --latency --capacity x",
     "--capacity: 'x' is not a number over 0 and up to 1000000000000", "help score"},
    {"score --latency --node-cost -1",
     "--node-cost: '-1' is not a number over 0 and up to 1000000000000", "help score"},
    {"score --latency --node-cost 0",
     "--node-cost: '0' is not a number over 0 and up to 1000000000000", "help score"},
    {"score --latency --key-cost -1", "--key-cost: '-1' is not a number from 0 to 1000000000000",
     "help score"},
    {"score --model m --out - --key-cost 1 a", "--key-cost needs --latency", "help score"},
    {"bench io --format josnl",
     "--format: 'josnl' is none of auto, jsonl, mlm, espnet2, espnet1, kaldi, nemo, nemo-tsv, "
     "hyporadise, moses, fairseq, tsv, trn, kaldi-text, text; did you mean 'jsonl'?",
     "help bench io"},
    {"bench engine --method cl",
     "--method: 'cl' is none of pll, pll_l2r, cls, maskless; did you mean 'cls'?",
     "help bench engine"},
    {"score --on-long skip", "--on-long: 'skip' is none of null, error, truncate", "help score"},
    {"score --case upper", "--case: 'upper' is none of auto, keep, lower", "help score"},
    {"score --cls-sign neg", "--cls-sign: 'neg' is none of auto, logprob, cost", "help score"},
    {"score --progress loud", "--progress: 'loud' is none of auto, tty, plain, json, none",
     "help score"},
};
INSTANTIATE_TEST_SUITE_P(Values, UsageTest, ::testing::ValuesIn(values));

TEST(Usage, ControlCharactersOfAnArgumentDoNotReachTheTerminal) {
  Said said = Shell("$SP \"$(printf 'scr\\033[31moe')\"");
  EXPECT_EQ(said.err.find('\033'), std::string::npos) << said.err;
}

}  // namespace
}  // namespace sp_test

/* vocab.c - `secondpass vocab`: a WordPiece vocabulary from text. */
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "commands.h"
#include "file.h"
#include "output.h"
#include "score_args.h"
#include "wordpiece_train.h"

struct vocab_args {
  const char *data, *out, *letter_case, *format;
  size_t size, max_length;
  uint64_t min_frequency, alphabet;
  bool keep_accents, json;
};

struct vocab_run {
  const struct vocab_args *args;
  const struct sp_operands *more;
  struct sp_wordpiece_trainer *trainer;
  struct sp_wordpiece_learned learned;
  struct sp_buf vocab;
  uint64_t lines;
  const volatile int *stop;
};

static bool is_lower(const struct vocab_args *args) {
  return !args->letter_case || strcmp(args->letter_case, "lower") == 0;
}

/* ---- reading ---- */

static enum sp_status read_lines(struct vocab_run *run, struct sp_archive *archive,
                                 struct sp_error *err) {
  for (;;) {
    struct sp_utt utt;
    bool found;
    if (*run->stop) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted; nothing was written");
    }
    SP_TRY(sp_archive_next(archive, &utt, &found, err));
    if (!found) {
      return SP_OK;
    }
    SP_TRY(sp_wordpiece_trainer_add(run->trainer, utt.hyps[0].text, err));
    run->lines++;
  }
}

static enum sp_status read_file(struct vocab_run *run, const char *path, struct sp_error *err) {
  enum sp_archive_format format = SP_FORMAT_AUTO;
  struct sp_archive *archive;
  if (run->args->format) {
    SP_TRY(sp_archive_format_parse(run->args->format, &format, err));
  }
  SP_TRY(sp_archive_open_text(path, format, &archive, err));
  enum sp_status status = read_lines(run, archive, err);
  sp_archive_close(archive);
  return status;
}

static enum sp_status learn(struct vocab_run *run, struct sp_error *err) {
  const struct vocab_args *a = run->args;
  struct sp_wordpiece_training training = {
      .size = a->size,
      .min_frequency = a->min_frequency == UINT64_MAX ? 2 : a->min_frequency,
      .alphabet = a->alphabet == UINT64_MAX ? 1000 : (size_t)a->alphabet,
      .lowercase = is_lower(a),
      .strip_accents = is_lower(a) && !a->keep_accents,
      .split_cjk = true};
  SP_TRY(sp_wordpiece_trainer_create(&training, &run->trainer, err));
  if (a->data) {
    SP_TRY(read_file(run, a->data, err));
  }
  for (size_t i = 0; i < run->more->n; i++) {
    SP_TRY(read_file(run, run->more->items[i], err));
  }
  return sp_wordpiece_trainer_finish(run->trainer, &run->vocab, &run->learned, err);
}

/* ---- writing ---- */

/* Refuses a directory that has another vocabulary: a model there would read other ids. */
static enum sp_status check_free(const char *directory, const char *name, const struct sp_buf *same,
                                 struct sp_error *err) {
  struct sp_buf path = {0}, there = {.ceiling = same ? same->len + 1 : 1};
  bool taken = false;
  enum sp_status status = sp_buf_printf(&path, err, "%s/%s", directory, name);
  if (status == SP_OK && sp_buf_cstr(&path) && sp_file_exists(path.data)) {
    taken = !same || sp_file_read(path.data, &there, NULL) != SP_OK || there.len != same->len ||
            memcmp(there.data, same->data, same->len) != 0;
  }
  if (taken) {
    status = sp_fail(err, SP_EUSAGE, "%s has another vocabulary already (%s)", directory, name);
  }
  sp_buf_release(&path);
  sp_buf_release(&there);
  return status;
}

static enum sp_status write_file(const char *directory, const char *name, const void *data,
                                 size_t len, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_buf_printf(&path, err, "%s/%s", directory, name);
  if (status == SP_OK) {
    status = sp_buf_cstr(&path) ? sp_file_replace(path.data, data, len, err)
                                : sp_fail_memory(err, path.len);
  }
  sp_buf_release(&path);
  return status;
}

/* What Hugging Face transformers needs to read vocab.txt as BERT does. */
static enum sp_status write_config(const struct vocab_args *a, struct sp_error *err) {
  json_t *config =
      json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:I}", "tokenizer_class", "BertTokenizer",
                "do_lower_case", is_lower(a), "tokenize_chinese_chars", true, "unk_token", "[UNK]",
                "cls_token", "[CLS]", "sep_token", "[SEP]", "mask_token", "[MASK]", "pad_token",
                "[PAD]", "model_max_length", (json_int_t)(a->max_length ? a->max_length : 512));
  if (config && is_lower(a) && a->keep_accents) {
    json_object_set_new(config, "strip_accents", json_false());
  }
  char *text = config ? json_dumps(config, JSON_INDENT(2)) : NULL;
  struct sp_buf bytes = {0};
  enum sp_status status =
      text ? sp_buf_printf(&bytes, err, "%s\n", text) : sp_fail_memory(err, 1 << 10);
  if (status == SP_OK) {
    status = write_file(a->out, "tokenizer_config.json", bytes.data, bytes.len, err);
  }
  sp_buf_release(&bytes);
  free(text);
  json_decref(config);
  return status;
}

static enum sp_status write_all(const struct vocab_run *run, struct sp_error *err) {
  const char *out = run->args->out;
  SP_TRY(sp_file_make_directory(out, err));
  SP_TRY(check_free(out, "vocab.txt", &run->vocab, err));
  SP_TRY(check_free(out, "tokenizer.json", NULL, err));
  SP_TRY(write_file(out, "vocab.txt", run->vocab.data, run->vocab.len, err));
  return write_config(run->args, err);
}

/* ---- telling ---- */

static void say(const struct vocab_run *run) {
  const struct sp_wordpiece_learned *l = &run->learned;
  sp_say("%s: %s, of %s and %s (%s different)", run->args->out,
         sp_count_of(l->pieces, "piece", "pieces").text,
         sp_count_of(run->lines, "line", "lines").text, sp_count_of(l->words, "word", "words").text,
         sp_number(l->distinct).text);
  if (l->pieces < run->args->size) {
    sp_say("warning: the text gives no more: no pair is as frequent as --min-frequency asks");
  }
  if (l->dropped_characters > 0) {
    sp_say("warning: %s beyond --alphabet left out",
           sp_count_of(l->dropped_characters, "character", "characters").text);
  }
  if (l->floor > 0) {
    sp_say(
        "warning: the text has too many different words to count them all; of rare ones up to "
        "%s were not counted",
        sp_count_of(l->floor, "occurrence", "occurrences").text);
  }
}

static enum sp_status print_json(const struct vocab_run *run, struct sp_error *err) {
  const struct sp_wordpiece_learned *l = &run->learned;
  json_t *object = sp_json_begin("vocab", SP_OK, err);
  json_object_set_new(object, "out", sp_json_text(run->args->out));
  sp_json_set_count(object, "pieces", l->pieces);
  sp_json_set_count(object, "characters", l->characters);
  sp_json_set_count(object, "continuations", l->continuations);
  sp_json_set_count(object, "merges", l->merges);
  sp_json_set_count(object, "lines", run->lines);
  sp_json_set_count(object, "words", l->words);
  sp_json_set_count(object, "distinct_words", l->distinct);
  sp_json_set_count(object, "dropped_characters", l->dropped_characters);
  sp_json_set_count(object, "too_long", l->too_long);
  sp_json_set_count(object, "forgotten_up_to", l->floor);
  return sp_json_print(object, stdout, err);
}

static enum sp_status make(struct vocab_run *run, struct sp_error *err) {
  SP_TRY(learn(run, err));
  SP_TRY(write_all(run, err));
  if (run->args->json) {
    return print_json(run, err);
  }
  say(run);
  return SP_OK;
}

static enum sp_status run_vocab(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  struct vocab_run run = {.args = values, .more = operands, .stop = sp_stop_on_signals()};
  const struct vocab_args *a = run.args;
  const char *missing = !a->data && operands->n == 0 ? "--data FILE"
                        : a->size == 0               ? "--size N"
                        : !a->out                    ? "--out DIR"
                                                     : NULL;
  if (missing) {
    return sp_fail(err, SP_EUSAGE, "%s is missing; usage: secondpass vocab %s", missing,
                   sp_command_vocab.usage);
  }
  enum sp_status status = make(&run, err);
  sp_wordpiece_trainer_destroy(run.trainer);
  sp_buf_release(&run.vocab);
  return sp_json_failure(a->json, "vocab", status, err);
}

#define FIELD(member) offsetof(struct vocab_args, member)

static const struct sp_opt input[] = {
    {.name = "data",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(data),
     .argument = "FILE",
     .help = "text, one sentence a line, .zst and .gz too; - for standard input; further files may "
             "follow"},
    {.name = "format",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(format),
     .argument = "NAME",
     .choices = "auto,text",
     .fallback = "auto, which refuses what looks like an archive",
     .help = "text reads whatever it is as text"},
    {.name = "case",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(letter_case),
     .argument = "CASE",
     .choices = "lower,keep",
     .fallback = "lower",
     .help = "lower: an uncased vocabulary, which also strips accents; keep: a cased one"},
    {.name = "keep-accents",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(keep_accents),
     .help = "lower without stripping accents"},
};
static const struct sp_opt learning[] = {
    {.name = "size",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(size),
     .argument = "N",
     .min = 6,
     .max = 1 << 24,
     .help = "pieces, [PAD], [UNK], [CLS], [SEP] and [MASK] included"},
    {.name = "min-frequency",
     .kind = SP_OPT_U64,
     .unset = true,
     .offset = FIELD(min_frequency),
     .argument = "N",
     .min = 1,
     .max = UINT32_MAX,
     .fallback = "2",
     .help = "how often two pieces must stand side by side to become one"},
    {.name = "alphabet",
     .kind = SP_OPT_U64,
     .unset = true,
     .offset = FIELD(alphabet),
     .argument = "N",
     .max = UINT32_MAX,
     .fallback = "1000",
     .help = "characters that are kept, the most frequent ones; 0 for all"},
};
static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(out),
     .argument = "DIR",
     .help = "where vocab.txt and tokenizer_config.json go"},
    {.name = "max-length",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(max_length),
     .argument = "N",
     .min = 3,
     .max = UINT32_MAX,
     .fallback = "512",
     .help = "model_max_length of tokenizer_config.json"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print the counts as one JSON object on standard output"},
};
static const struct sp_opt_group input_group = {"Input", input, sizeof input / sizeof *input};
static const struct sp_opt_group learning_group = {"Vocabulary", learning,
                                                   sizeof learning / sizeof *learning};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
static const struct sp_opt_group *const groups[] = {&input_group, &learning_group, &output_group,
                                                    NULL};

const struct sp_command sp_command_vocab = {
    .name = "vocab",
    .summary = "makes a WordPiece vocabulary from text",
    .example =
        "secondpass vocab --data sentences.txt.zst --size 8192 --out vocab\n"
        "secondpass vocab --case keep --size 30522 --out cased --data a.txt b.txt.gz",
    .usage = "--data FILE --size N --out DIR [OPTIONS] [FILE...]",
    .description =
        "Text is normalised and parted into words as BERT does. Pieces are the special tokens, "
        "the characters, and then, again and again, the most frequent pair of neighbouring pieces "
        "as one. Of equally frequent pairs the one with the smaller ids comes first: the "
        "vocabulary depends on the text alone.\n"
        "Hugging Face transformers and tokenizers read the directory. One that has another "
        "vocabulary is refused.",
    .groups = groups,
    .values_bytes = sizeof(struct vocab_args),
    .max_operands = SIZE_MAX,
    .run = run_vocab,
};

#include <stdio.h>

#include "file.h"
#include "tokenizer_build.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { vocab_txt, tokenizer_json, tokenizer_config, model_config, special_map, added, n_files };

static const struct {
  const char *name;
  size_t ceiling;
} known[n_files] = {
    {"vocab.txt", SP_VOCAB_MAX_BYTES},
    {"tokenizer.json", SP_VOCAB_MAX_BYTES},
    {"tokenizer_config.json", (size_t)64 << 20},
    {"config.json", (size_t)64 << 20},
    {"special_tokens_map.json", (size_t)64 << 20},
    {"added_tokens.json", (size_t)64 << 20},
};

static enum sp_status join(const char *directory, const char *name, struct sp_buf *path,
                           struct sp_error *err) {
  sp_buf_clear(path);
  return sp_buf_printf(path, err, "%s/%s", directory, name);
}

static enum sp_status has_file(const char *directory, const char *name, bool *has,
                               struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = join(directory, name, &path, err);
  *has = status == SP_OK && sp_buf_cstr(&path) && sp_file_exists(path.data);
  sp_buf_release(&path);
  return status;
}

/* Reads a file that may be missing; *out stays {NULL, 0} then. */
static enum sp_status read_optional(const char *directory, int which, struct sp_buf *bytes,
                                    struct sp_text *out, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(join(directory, known[which].name, &path, err), release);
  const char *name = sp_buf_cstr(&path);
  if (!name) {
    status = sp_fail_memory(err, path.len);
  } else if (sp_file_exists(name)) {
    bytes->ceiling = known[which].ceiling;
    status = sp_file_read(name, bytes, err);
    if (status == SP_EINPUT) {
      status = sp_fail(err, SP_EMODEL, "%s is larger than %zu bytes", name, bytes->ceiling);
    }
    *out = (struct sp_text){bytes->data ? bytes->data : "", bytes->len};
  }
release:
  sp_buf_release(&path);
  return status;
}

/* Other tokenizers leave other files: say which it is. */
static enum sp_status refuse_others(const char *directory, struct sp_error *err) {
  static const struct {
    const char *file, *kind;
  } others[] = {
      {"bpe.codes", "BPE"},
      {"spiece.model", "SentencePiece"},
      {"sentencepiece.bpe.model", "SentencePiece"},
      {"tokenizer.model", "SentencePiece"},
      {"merges.txt", "byte-level BPE"},
  };
  for (size_t i = 0; i < COUNT(others); i++) {
    bool has, beside = true;
    SP_TRY(has_file(directory, others[i].file, &has, err));
    if (i + 1 == COUNT(others)) {
      SP_TRY(has_file(directory, "vocab.json", &beside, err));
    }
    if (has && beside) {
      return sp_fail(err, SP_EMODEL, "%s: a %s tokenizer (%s) is not supported (WordPiece is)",
                     directory, others[i].kind, others[i].file);
    }
  }
  return sp_fail(err, SP_EMODEL, "%s has no vocab.txt and no tokenizer.json", directory);
}

static enum sp_status load(const struct sp_tokenizer_files *files, struct sp_tokenizer **out,
                           struct sp_error *err) {
  bool codes;
  if (!files->vocab.data && !files->json.data) {
    struct sp_tokenizer_config config = {0};
    enum sp_status status = sp_tokenizer_config_read(files, &config, err);
    sp_tokenizer_config_release(&config);
    SP_TRY(status);
    return refuse_others(files->directory, err);
  }
  SP_TRY(has_file(files->directory, "bpe.codes", &codes, err));
  return codes ? refuse_others(files->directory, err) : sp_tokenizer_build(files, out, err);
}

enum sp_status sp_tokenizer_open(const char *directory, struct sp_tokenizer **out,
                                 struct sp_error *err) {
  struct sp_buf bytes[n_files] = {0};
  struct sp_text text[n_files] = {0};
  enum sp_status status = SP_OK;
  *out = NULL;
  for (int i = 0; i < n_files && status == SP_OK; i++) {
    status = read_optional(directory, i, &bytes[i], &text[i], err);
  }
  if (status == SP_OK) {
    const struct sp_tokenizer_files files = {
        .directory = directory,
        .vocab = text[vocab_txt],
        .json = text[tokenizer_json],
        .config = text[tokenizer_config],
        .model_config = text[model_config],
        .special_map = text[special_map],
        .added = text[added],
    };
    status = load(&files, out, err);
  }
  for (int i = 0; i < n_files; i++) {
    sp_buf_release(&bytes[i]);
  }
  return status;
}

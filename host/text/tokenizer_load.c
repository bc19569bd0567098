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

/* Reads a file that may be missing; *out stays {NULL, 0} then. */
static enum sp_status read_optional(const struct sp_folder *folder, int which, struct sp_buf *bytes,
                                    struct sp_text *out, struct sp_error *err) {
  const char *name = known[which].name;
  if (!sp_folder_has(folder, name)) {
    return SP_OK;
  }
  bytes->ceiling = known[which].ceiling;
  enum sp_status status = sp_folder_read(folder, name, bytes, err);
  if (status == SP_EINPUT) {
    status = sp_fail(err, SP_EMODEL, "%s/%s is larger than %zu bytes", folder->path, name,
                     bytes->ceiling);
  }
  *out = (struct sp_text){bytes->data ? bytes->data : "", bytes->len};
  return status;
}

/* Other tokenizers leave other files: say which it is. */
static enum sp_status refuse_others(const struct sp_folder *folder, struct sp_error *err) {
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
    bool last = i + 1 == COUNT(others);
    if (sp_folder_has(folder, others[i].file) && (!last || sp_folder_has(folder, "vocab.json"))) {
      return sp_fail(err, SP_EMODEL, "%s: a %s tokenizer (%s) is not supported (WordPiece is)",
                     folder->path, others[i].kind, others[i].file);
    }
  }
  return sp_fail(err, SP_EMODEL, "%s has no vocab.txt and no tokenizer.json", folder->path);
}

static enum sp_status load(const struct sp_folder *folder, const struct sp_tokenizer_files *files,
                           struct sp_tokenizer **out, struct sp_error *err) {
  if (!files->vocab.data && !files->json.data) {
    struct sp_tokenizer_config config = {0};
    enum sp_status status = sp_tokenizer_config_read(files, &config, err);
    sp_tokenizer_config_release(&config);
    SP_TRY(status);
    return refuse_others(folder, err);
  }
  return sp_folder_has(folder, "bpe.codes") ? refuse_others(folder, err)
                                            : sp_tokenizer_build(files, out, err);
}

enum sp_status sp_tokenizer_open_in(const struct sp_folder *folder, struct sp_tokenizer **out,
                                    struct sp_error *err) {
  struct sp_buf bytes[n_files] = {0};
  struct sp_text text[n_files] = {0};
  enum sp_status status = SP_OK;
  *out = NULL;
  for (int i = 0; i < n_files && status == SP_OK; i++) {
    status = read_optional(folder, i, &bytes[i], &text[i], err);
  }
  if (status == SP_OK) {
    const struct sp_tokenizer_files files = {
        .directory = folder->path,
        .vocab = text[vocab_txt],
        .json = text[tokenizer_json],
        .config = text[tokenizer_config],
        .model_config = text[model_config],
        .special_map = text[special_map],
        .added = text[added],
    };
    status = load(folder, &files, out, err);
  }
  for (int i = 0; i < n_files; i++) {
    sp_buf_release(&bytes[i]);
  }
  return status;
}

enum sp_status sp_tokenizer_open(const char *directory, struct sp_tokenizer **out,
                                 struct sp_error *err) {
  struct sp_folder folder = sp_folder_at(directory);
  return sp_tokenizer_open_in(&folder, out, err);
}

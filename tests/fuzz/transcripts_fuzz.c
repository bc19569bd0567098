/* transcripts_fuzz.c - any bytes as trn, as Kaldi text, and as whichever it looks like. */
#include <stdlib.h>

#include "transcripts.h"
#include "utf8_valid.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_as(struct sp_text bytes, enum sp_transcript_format format) {
  struct sp_source *source;
  struct sp_transcripts *transcripts;
  struct sp_error err;
  struct sp_text id, text;
  bool found = true;
  if (sp_source_open_memory("fuzz", bytes, &source, NULL) != SP_OK ||
      sp_transcripts_open_source(source, format, &transcripts, NULL) != SP_OK) {
    return;
  }
  while (sp_transcripts_next(transcripts, &id, &text, &found, &err) == SP_OK && found) {
    if (id.len == 0 || !sp_utf8_valid(id) || !sp_utf8_valid(text)) {
      abort();
    }
  }
  sp_transcripts_close(transcripts);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text bytes = {(const char *)data, size};
  read_as(bytes, SP_TRANSCRIPT_AUTO);
  read_as(bytes, SP_TRANSCRIPT_TRN);
  read_as(bytes, SP_TRANSCRIPT_KALDI);
  return 0;
}

// Many sequences at once over the prebuilt libllama, timed and printed as llama-batched-bench does (`--output-format jsonl`), for
// machines where llama.cpp's libraries are but not that program. Measuring only; test/peer.ts reads its lines.
//   gcc -O2 -o LIBS/peer-streams test/peer-streams.c -I SOURCE/include -I SOURCE/ggml/include LIBS/libllama.SO LIBS/libggml.SO
//     LIBS/libggml-base.so -Wl,-rpath,'$ORIGIN' -Wl,--allow-shlib-undefined
//   peer-streams -m MODEL.gguf [-npl 1,4,16,32] [-ntg 128] [-r 3] [-fa 1] [-ngl 99]
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ggml-backend.h"
#include "llama.h"

enum { MOST_STREAMS = 64 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static void only_errors(enum ggml_log_level level, const char *text, void *unused) {
  (void)unused;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

// One token of each stream at `position`; logits of all, as a server wants them.
static void step(struct llama_context *context, struct llama_batch *batch, int streams, int position, int vocab) {
  batch->n_tokens = streams;
  for (int i = 0; i < streams; i++) {
    batch->token[i] = rand() % vocab;
    batch->pos[i] = position;
    batch->n_seq_id[i] = 1;
    batch->seq_id[i][0] = i;
    batch->logits[i] = 1;
  }
  if (llama_decode(context, *batch)) fail("llama_decode failed");
  llama_synchronize(context);
}

int main(int argc, char **argv) {
  const char *path = NULL, *streams = "1,4,16,32";
  int tokens = 128, repetitions = 3, flash = 1, layers = 99;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "-m")) path = argv[i + 1];
    else if (!strcmp(argv[i], "-npl")) streams = argv[i + 1];
    else if (!strcmp(argv[i], "-ntg")) tokens = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "-r")) repetitions = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "-fa")) flash = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "-ngl")) layers = atoi(argv[i + 1]);
  }
  if (!path) fail("usage: see the head of test/peer-streams.c");
  llama_log_set(only_errors, NULL);
  char self[4096] = {0};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail("no /proc/self/exe");
  ggml_backend_load_all_from_path(dirname(self));
  llama_backend_init();
  struct llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = layers;
  model_params.split_mode = LLAMA_SPLIT_MODE_NONE;
  struct llama_model *model = llama_model_load_from_file(path, model_params);
  if (!model) fail("the model cannot be loaded");
  int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));

  for (const char *at = streams; *at; at += strcspn(at, ","), at += *at == ',') {
    int count = atoi(at);
    if (count < 1 || count > MOST_STREAMS) fail("-npl: 1 to 64 streams");
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (tokens + 32) * count;
    params.n_batch = params.n_ubatch = 512;
    params.n_seq_max = count;
    params.n_threads = params.n_threads_batch = 1; // what is measured is the GPU
    params.kv_unified = false;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *context = llama_init_from_model(model, params);
    if (!context) fail("no context");
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    for (int run = -1; run < repetitions; run++) { // the first one warms up
      llama_memory_clear(llama_get_memory(context), false);
      step(context, &batch, count, 0, vocab);
      double start = seconds();
      for (int i = 1; i <= tokens; i++) step(context, &batch, count, i, vocab);
      double took = seconds() - start;
      if (run >= 0)
        printf("{\"pp\": 1, \"tg\": %d, \"pl\": %d, \"t_tg\": %f, \"speed_tg\": %f}\n", tokens, count, took, count * tokens / took);
      fflush(stdout);
    }
    llama_batch_free(batch);
    llama_free(context);
  }
  llama_model_free(model);
  return 0;
}

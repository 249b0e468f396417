/* A whole native plugin in C: greets, counts, and prints what it was given as stdin.
 *
 *     cc -shared -fPIC -Wall -O2 -o example.so example.c */
#include "blitz_plugin.h"

#include <stdio.h>

static struct blitz_bytes describe(void) {
  return blitz_text("{\"name\":\"example\",\"version\":\"0.1.0\",\"summary\":\"greets in C\","
                    "\"contract\":\"0.1.0\",\"usage\":\"[NAME]\"}");
}

static uint32_t run(const struct blitz_host *host, const struct blitz_invocation *call) {
  struct blitz_bytes name = call->args_len > 0 ? call->args[0] : blitz_text("world");
  struct blitz_bytes out = { NULL, 0 };
  uint64_t offset = 0;

  blitz_print(host, "hello ");
  host->write(host->context, BLITZ_STDOUT, name);
  blitz_print(host, "\n");

  if (host->emit(host->context, blitz_text("greeting"), blitz_text("{\"greeted\":1}"), &out) != BLITZ_OK) {
    fprintf(stderr, "example: %.*s\n", (int)out.len, (const char *)out.ptr);
    return 1;
  }

  /* Inputs are read in pieces; an answer lives until the next call. */
  while (host->read_input(host->context, blitz_text("-"), offset, 65536, &out) == BLITZ_OK && out.len > 0) {
    offset += out.len;
    host->write(host->context, BLITZ_STDOUT, out);
  }
  /* Also printf reaches the user. */
  printf("read %llu bytes in %.*s\n", (unsigned long long)offset, (int)call->region.len,
         (const char *)call->region.ptr);
  return 0;
}

const struct blitz_table blitz_plugin = BLITZ_TABLE(describe, run);

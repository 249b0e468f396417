/* Counts lines, words and bytes, as wc does, and gives them as a record for programs too. */

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The host's side: everything that a plugin may call. */
#include "blitz.h"

/* The arguments stand behind the plugin's name, as in any command, and have been held against plugin.toml.
   What main() returns is the exit status, 0 to 255. */
int main(int argc, char **argv) {
  /* "-" is standard input, which <stdio.h> reads as well. */
  const char *file = argc > 1 ? argv[1] : "-";
  unsigned long long lines = 0, words = 0, bytes = 0;
  bool in_word = false;

  unsigned char piece[64 * 1024];
  for (;;) {
    long length = blitz_read_input(file, bytes, piece, sizeof piece);
    if (length < 0) {
      fprintf(stderr, "{{name}}: %s: %s\n", file, blitz_error());
      return EXIT_FAILURE;
    }
    if (length == 0) break;
    for (long i = 0; i < length; i++) {
      lines += piece[i] == '\n';
      bool is_space = isspace(piece[i]) != 0;
      words += in_word && is_space;
      in_word = !is_space;
    }
    bytes += (unsigned long long)length;
  }
  words += in_word;

  /* For people: standard output. */
  printf("%7llu %7llu %7llu\n", lines, words, bytes);
  /* For programs: a record, as JSON. */
  char record[128];
  snprintf(record, sizeof record, "{\"lines\":%llu,\"words\":%llu,\"bytes\":%llu}", lines, words, bytes);
  if (!blitz_emit("count", record)) {
    fprintf(stderr, "{{name}}: %s\n", blitz_error());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

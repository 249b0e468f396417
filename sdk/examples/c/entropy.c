/* Measures how many bits a byte of the input carries (Shannon's entropy): English text has between 4 and 5, what was
   compressed or encrypted nearly 8, and a file of zeros has none. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blitz.h"

/* As for usage errors of most commands. */
#define EXIT_USAGE 2

static const char *verdict(double bits) {
  if (bits > 7.9) return "compressed or encrypted";
  if (bits > 6.0) return "binary";
  return bits > 1.0 ? "text or code" : "hardly anything";
}

int main(int argc, char **argv) {
  const char *file = "-";
  double above = -1.0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--above") == 0 && i + 1 < argc) {
      above = atof(argv[++i]);
    } else if (strncmp(argv[i], "--above=", 8) == 0) {
      above = atof(argv[i] + 8);
    } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
      fprintf(stderr, "entropy: no option %s here\n", argv[i]);
      return EXIT_USAGE;
    } else {
      file = argv[i];
    }
  }

  unsigned long long counts[256] = {0}, bytes = 0;
  unsigned char piece[64 * 1024];
  for (;;) {
    long length = blitz_read_input(file, bytes, piece, sizeof piece);
    if (length < 0) {
      fprintf(stderr, "entropy: %s: %s\n", file, blitz_error());
      return EXIT_FAILURE;
    }
    if (length == 0) break;
    for (long i = 0; i < length; i++) counts[piece[i]]++;
    bytes += (unsigned long long)length;
  }

  double bits = 0.0;
  for (int i = 0; i < 256; i++) {
    if (counts[i] == 0) continue;
    double share = (double)counts[i] / (double)bytes;
    bits -= share * log2(share);
  }
  printf("%.3f bits a byte in %llu bytes: %s\n", bits, bytes, verdict(bits));
  char record[128];
  snprintf(record, sizeof record, "{\"bits\":%.3f,\"bytes\":%llu}", bits, bytes);
  if (!blitz_emit("entropy", record)) {
    fprintf(stderr, "entropy: %s\n", blitz_error());
    return EXIT_FAILURE;
  }
  return bits > above ? EXIT_SUCCESS : EXIT_FAILURE;
}

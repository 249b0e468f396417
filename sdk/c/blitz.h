/* What a plugin in C includes: the easy part of what the host lends, in terms of C.

   A plugin is an ordinary program with `int main(int argc, char **argv)`: the arguments stand behind its name, <stdio.h>
   reads the job's standard input and writes its output, and what main() returns is the exit status, 0 to 255. (What
   exit() is given arrives as 0 or 1.) There are no files, no threads and no sockets.

   Everything else that the host lends, HTTP with all its phases and the DNS included, is declared in plugin.h,
   which `wit-bindgen c sdk/wit/blitz-plugin-0.1.0 --world plugin` made of the contract, and which this file includes. */
#ifndef BLITZ_H
#define BLITZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The region that the job runs in. */
const char *blitz_region(void);

/* What is left of the job's time, in milliseconds. */
uint64_t blitz_time_left_ms(void);

/* Gives a record for programs, tables and charts: one JSON document of at most 64 KiB. False when the host did not take
   it; blitz_error() says why. */
bool blitz_emit(const char *kind, const char *json);

/* Reads up to `bytes_max` bytes from `offset` of a file of the user's machine that an argument named; "-" is standard
   input. Gives how many there were, 0 at the end, or -1, and then blitz_error() says why. */
long blitz_read_input(const char *name, uint64_t offset, void *bytes, size_t bytes_max);

/* Appends to a file on the user's machine that an argument of the kind `output-file` named. False as for blitz_emit(). */
bool blitz_write_output(const char *name, const void *bytes, size_t length);

/* Adds to a counter of the run's record of kind `metrics`; the name ends with its unit: "body_bytes". False as for
   blitz_emit(). */
bool blitz_count(const char *name, uint64_t by);

/* Adds a value to a distribution of the same record: "latency_us". False as for blitz_emit(). */
bool blitz_observe(const char *name, uint64_t value);

/* Why the last of these calls did not do what was asked. Never NULL; good until the next failure. */
const char *blitz_error(void);

#ifdef __cplusplus
}
#endif

#endif

/* The native contract of blitz in C: what a shared library exports, and what it is lent while it runs.
 *
 * A plugin is a shared library with one symbol, `blitz_plugin`, of the type struct blitz_table:
 *
 *     const struct blitz_table blitz_plugin = BLITZ_TABLE(describe, run);
 *
 * build it with `cc -shared -fPIC -o hello.so hello.c`. blitz loads it into a process of its own, one for each run,
 * which can do nothing but what this table lends: it has no files, no network, no other processes, no threads. What
 * it prints on stdout and stderr becomes the command's.
 *
 * Memory never changes its owner. What you pass is read during the call. What a function puts into `out`, an answer
 * or the text of a refusal, is yours to read until your next call of any function. All calls are made on the thread
 * that `run` was called on. Texts are UTF-8 and have no final zero.
 *
 * The same in Rust, with the reasons: sdk/contract/src/native.rs. */
#ifndef BLITZ_PLUGIN_H
#define BLITZ_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLITZ_MAGIC UINT64_C(0x676c707a74696c62) /* "blitzplg" */
#define BLITZ_MAJOR 1u
#define BLITZ_MINOR 1u

enum blitz_status { BLITZ_OK = 0, BLITZ_DENIED = 1, BLITZ_LIMIT = 2, BLITZ_FAILED = 3 };
enum blitz_stream { BLITZ_STDOUT = 1, BLITZ_STDERR = 2 };

struct blitz_bytes {
  const uint8_t *ptr; /* null only when there are none */
  size_t len;
};

struct blitz_invocation {
  const struct blitz_bytes *args; /* as the user typed them, without the plugin's name */
  size_t args_len;
  struct blitz_bytes region;
  uint64_t deadline_ms; /* what was left of the job's time */
};

/* Every function takes `context` first, and returns an enum blitz_status unless its comment says otherwise. */
struct blitz_host {
  uint64_t magic;
  uint32_t major;
  uint32_t minor;
  size_t size; /* bytes of this table: ask before you use a field of a newer minor version */
  void *context;
  /* Prints; waits while nobody takes it. */
  uint32_t (*write)(void *context, uint32_t stream, struct blitz_bytes bytes);
  /* A file that the user named as an argument; "-" is stdin. An empty answer is its end. */
  uint32_t (*read_input)(void *context, struct blitz_bytes name, uint64_t offset, uint32_t bytes_max,
                         struct blitz_bytes *out);
  /* Appends to a file on the user's machine that an argument named. */
  uint32_t (*write_output)(void *context, struct blitz_bytes name, struct blitz_bytes bytes,
                           struct blitz_bytes *out);
  /* A structured record: a kind of a-z, 0-9 and -, and one JSON document of at most 64 KiB. */
  uint32_t (*emit)(void *context, struct blitz_bytes kind, struct blitz_bytes json, struct blitz_bytes *out);
  /* Adds to a counter; its name ends with its unit, as in body_bytes. */
  uint32_t (*count)(void *context, struct blitz_bytes name, uint64_t by, struct blitz_bytes *out);
  /* Adds values to a distribution. */
  uint32_t (*observe)(void *context, struct blitz_bytes name, const uint64_t *values, size_t values_len,
                      struct blitz_bytes *out);
  /* {"name":"example.com","record_type":15} to {"server":..,"code":0,"answers":[..],..}. Needs the grant dns. */
  uint32_t (*lookup)(void *context, struct blitz_bytes question, struct blitz_bytes *out);
  /* {"url":"https://example.com/"} and a body ({NULL, 0} for none) to {"status":200,"headers":[..],"body":7,..};
   * fields as in the WIT interface web. With BLITZ_FAILED `out` is {"kind":"resolve","text":..,..}. In header values a
   * character is a byte. Needs the grant web. */
  uint32_t (*exchange)(void *context, struct blitz_bytes request, struct blitz_bytes body, struct blitz_bytes *out);
  /* The next piece of a body by its number; an empty one is the end. */
  uint32_t (*body_read)(void *context, uint64_t body, uint32_t bytes_max, struct blitz_bytes *out);
  /* Returns microseconds from the start of the exchange to the latest piece. */
  uint64_t (*body_total_us)(void *context, uint64_t body);
  /* Gives the body and its connection back. */
  void (*body_close)(void *context, uint64_t body);
  /* A connected, blocking socket, which is yours to close. Needs the grant sockets. */
  uint32_t (*connect)(void *context, struct blitz_bytes host, uint16_t port, uint64_t timeout_ms, int32_t *descriptor,
                      struct blitz_bytes *out);
  /* The same for UDP: send() and recv() with one peer. */
  uint32_t (*connect_udp)(void *context, struct blitz_bytes host, uint16_t port, uint64_t timeout_ms,
                          int32_t *descriptor, struct blitz_bytes *out);
  /* Returns what is left of the job's time. */
  uint64_t (*time_left_ms)(void *context);
  /* Returns 1 when the job was asked to end. */
  uint32_t (*is_cancelled)(void *context);
  /* Waits; returns 1 when it came back early, because the job was asked to end. */
  uint32_t (*pause)(void *context, uint64_t ms);
  /* An import by its name, with JSON for question and answer; call it through blitz_ask(). Since 1.1:
   *   dns.exchange    {"bytes":[..],"transport":"udp","server":"9.9.9.9"} to {"server":..,"bytes":[..],"connect_us":..,
   *                   "elapsed_us":..}: one DNS message as numbers, over udp, tcp, tls or https. Needs the grant dns.
   *   networks.whose  ["192.0.2.1"] to [{"asn":64500,"organization":..,"country":..}]; null for what is not known.
   *   probes.open     {"host":"example.com","protocol":"icmp"} to {"session":1,"address":..,"source":..,"mtu":1500}.
   *                   Needs the grant probes, as all of them.
   *   probes.send     {"session":1,"probes":[{"id":1,"ttl":1,"size_bytes":60,"flow":0,"port":33434}]} to null.
   *   probes.next     {"session":1,"wait_us":500000} to [{"id":1,"outcome":"time-exceeded","from":..,"rtt_ns":..,..}].
   *   probes.names    {"session":1,"addresses":["192.0.2.1"],"wait_ms":100} to ["name",null].
   *   probes.elapsed  {"session":1} to microseconds since it was opened.
   *   probes.close    {"session":1} to null.
   *   load.start      {"steps":[{"method":"GET","url":"http://10.0.0.1/","timeout_ms":1000}],"shape":{"users":
   *                   {"segments":[{"from":1,"to":50,"duration_ms":60000}]}}} to {"test":1}, when the load test has begun.
   *                   Needs the grant load, as all of them.
   *   load.opening    {"test":1} to {"plan":..,"share":{"index":0,"of":1},"workers":2,"targets":[..],..}.
   *   load.next       {"test":1,"wait_ms":2000} to [{"second":0,"sent":..,"steps":[..],..}]; the last one has a "closing".
   *   load.stop       {"test":1} to null: nothing more is sent, and the last ticks follow.
   *   load.close      {"test":1} to null: it is given back, and ends where it has not.
   * Fields as in the WIT interfaces of these names; those of plans and ticks are in sdk/contract/src/load. */
  uint32_t (*ask)(void *context, struct blitz_bytes import, struct blitz_bytes question, struct blitz_bytes *out);
};

struct blitz_table {
  uint64_t magic;
  uint32_t major;
  uint32_t minor;
  size_t size;
  struct blitz_bytes (*describe)(void); /* the manifest as JSON, in memory that stays */
  uint32_t (*run)(const struct blitz_host *host, const struct blitz_invocation *call); /* the exit status, 0 to 255 */
};

#define BLITZ_TABLE(describe, run) \
  { BLITZ_MAGIC, BLITZ_MAJOR, BLITZ_MINOR, sizeof(struct blitz_table), (describe), (run) }

/* A C string as bytes. */
static inline struct blitz_bytes blitz_text(const char *text) {
  struct blitz_bytes bytes = { (const uint8_t *)text, strlen(text) };
  return bytes;
}

/* Prints a C string. */
static inline uint32_t blitz_print(const struct blitz_host *host, const char *text) {
  return host->write(host->context, BLITZ_STDOUT, blitz_text(text));
}

/* Asks an import by its name; an engine that is older than these imports refuses. */
static inline uint32_t blitz_ask(const struct blitz_host *host, const char *import, struct blitz_bytes question,
                                 struct blitz_bytes *out) {
  if (host->size < offsetof(struct blitz_host, ask) + sizeof host->ask) {
    *out = blitz_text("this engine's native contract is older than 1.1, which this needs; upgrade the engine");
    return BLITZ_FAILED;
  }
  return host->ask(host->context, blitz_text(import), question, out);
}

#endif

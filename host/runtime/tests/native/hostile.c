/* A native plugin that attacks what holds it: the first argument names how. It prints what it met, `NAME: OK` or
 * `NAME: ERRNO`, and returns 0; a few attacks do not come back. */
#define _GNU_SOURCE
#include "blitz_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#ifndef MAGIC
#define MAGIC BLITZ_MAGIC
#endif
#ifndef MAJOR
#define MAJOR BLITZ_MAJOR
#endif
#ifndef MINOR
#define MINOR BLITZ_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(struct blitz_table)
#endif

static const struct blitz_host *lent;

static void met(const char *name, long result) {
  char line[128];
  if (result >= 0) snprintf(line, sizeof line, "%s: OK\n", name);
  else snprintf(line, sizeof line, "%s: %s\n", name, strerrorname_np(errno));
  blitz_print(lent, line);
}

static const char *told = "nothing\n";

#ifdef CONSTRUCTOR
/* Before run, and before the table is looked at. */
__attribute__((constructor)) static void early(void) {
  int passwd = open("/etc/passwd", O_RDONLY);
  int made = open("/tmp/blitz-native-constructor", O_CREAT | O_WRONLY, 0600);
  int udp = socket(AF_INET, SOCK_DGRAM, 0);
  pid_t child = fork();
  if (child == 0) _exit(0);
  told = passwd < 0 && made < 0 && udp < 0 && child < 0 ? "constructor held\n" : "constructor broke out\n";
}
#endif

/* The engine's socket: the first descriptor above the streams that is one. */
static int line(void) {
  for (int fd = 3; fd < 64; fd++) {
    int type; socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) return fd;
  }
  return -1;
}

static int deep(int n) {
  volatile char frame[4096];
  frame[0] = (char)n;
  return deep(n + 1) + frame[0];
}

static void *idle(void *x) { return x; }

static void files(void) {
  char path[64];
  met("passwd", open("/etc/passwd", O_RDONLY));
  met("passwd2", syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", (uint64_t[3]){ 0, 0, 0 }, 24));
  met("tmp", open("/tmp/blitz-native-hostile", O_CREAT | O_WRONLY, 0600));
  met("append", open("/usr/lib/os-release", O_WRONLY | O_APPEND));
  met("tmpfile", open("/tmp", O_TMPFILE | O_RDWR, 0600));
  met("home", open("/root", O_RDONLY | O_DIRECTORY));
  met("environ", open("/proc/self/environ", O_RDONLY));
  snprintf(path, sizeof path, "/proc/%d/mem", getppid());
  met("parent-mem", open(path, O_RDWR));
  met("parent-mem-read", open(path, O_RDONLY));
  met("unlink", unlink("/tmp/blitz-native-hostile"));
  met("mkdir", mkdir("/tmp/blitz-native-dir", 0700));
  met("memfd", memfd_create("x", 0));
  met("library", open("/usr/lib/os-release", O_RDONLY));
}

static void processes(void) {
  pthread_t thread;
  met("fork", fork());
  met("vfork", syscall(SYS_vfork));
  met("clone3", syscall(SYS_clone3, (uint64_t[8]){ 0 }, 64));
  errno = pthread_create(&thread, NULL, idle, NULL);
  met("thread", errno ? -1 : 0);
  met("kill-parent", kill(getppid(), SIGKILL));
  met("kill-all", kill(-1, SIGKILL));
  met("kill-group", kill(0, SIGTERM));
  met("tgkill-parent", syscall(SYS_tgkill, getppid(), getppid(), SIGKILL));
  met("sigqueue", sigqueue(getppid(), SIGTERM, (union sigval){ 0 }));
  met("pidfd", syscall(SYS_pidfd_open, getppid(), 0));
  met("setown", fcntl(line(), F_SETOWN, getppid()));
  met("setsid", setsid());
  met("setpgid", setpgid(0, 0));
}

static void rights(void) {
  met("setuid", setuid(0));
  met("setresuid", setresuid(0, 0, 0));
  met("setgid", setgid(0));
  met("seccomp", syscall(SYS_seccomp, 1, 0, NULL));
  met("pdeathsig", prctl(PR_SET_PDEATHSIG, 0));
  met("dumpable", prctl(PR_SET_DUMPABLE, 1));
  met("no-new-privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  met("rlimit", setrlimit(RLIMIT_AS, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }));
  met("capset", syscall(SYS_capset, NULL, NULL));
  met("personality", syscall(SYS_personality, 0x0040000));
  met("io_priority", syscall(SYS_setpriority, 0, 0, -20));
}

static void network(void) {
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  struct iovec word = { "x", 1 };
  struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &word, .msg_iovlen = 1 };
  int pair[2];
  met("tcp", socket(AF_INET, SOCK_STREAM, 0));
  met("udp", socket(AF_INET, SOCK_DGRAM, 0));
  met("raw", socket(AF_INET, SOCK_RAW, 1));
  met("packet", socket(AF_PACKET, SOCK_RAW, 0));
  met("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
  met("unix", socket(AF_UNIX, SOCK_STREAM, 0));
  met("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  met("connect", connect(line(), (struct sockaddr *)&to, sizeof to));
  met("bind", bind(line(), (struct sockaddr *)&to, sizeof to));
  met("sendto", sendto(line(), "x", 1, 0, (struct sockaddr *)&to, sizeof to));
  met("sendmsg", sendmsg(line(), &message, 0));
}

/* A socket from the engine, used for another peer than the one that was asked for. */
static void stray(uint16_t port, uint16_t other) {
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(other), .sin_addr = { htonl(INADDR_LOOPBACK) } };
  struct blitz_bytes out = { NULL, 0 };
  int32_t fd = -1;
  uint32_t status = lent->connect_udp(lent->context, blitz_text("127.0.0.1"), port, 1000, &fd, &out);
  if (status != BLITZ_OK) {
    char line[512];
    snprintf(line, sizeof line, "connect_udp: %u %.*s\n", status, (int)out.len, (const char *)out.ptr);
    blitz_print(lent, line);
    return;
  }
  met("send", send(fd, "right", 5, 0));
  met("sendto", sendto(fd, "wrong", 5, 0, (struct sockaddr *)&to, sizeof to));
  met("reconnect", connect(fd, (struct sockaddr *)&to, sizeof to));
}

/* As many connections as it gets, each used once. */
static void dial(uint16_t port) {
  struct blitz_bytes out = { NULL, 0 };
  char line[512], word[4];
  uint32_t status = BLITZ_OK;
  int count = 0;
  for (; count < 1000; count++) {
    int32_t fd = -1;
    status = lent->connect(lent->context, blitz_text("127.0.0.1"), port, 5000, &fd, &out);
    if (status != BLITZ_OK) break;
    if (send(fd, "ping", 4, 0) != 4 || recv(fd, word, 4, MSG_WAITALL) != 4 || memcmp(word, "ping", 4)) break;
  }
  snprintf(line, sizeof line, "%d %u %.*s\n", count, status, (int)out.len, (const char *)out.ptr);
  blitz_print(lent, line);
}

/* What is open here, by number. */
static void descriptors(void) {
  char line[512] = "open:";
  for (int fd = 0; fd < 256; fd++)
    if (fcntl(fd, F_GETFD) >= 0) snprintf(line + strlen(line), sizeof line - strlen(line), " %d", fd);
  strcat(line, "\n");
  blitz_print(lent, line);
}

static void fill(int fd, const void *bytes, size_t len) {
  while (write(fd, bytes, len) > 0) {}
}

/* One question by name; prints the status and what came back. */
static void ask(const struct blitz_host *host, const char *import, const char *question) {
  char line[512];
  struct blitz_bytes out = { NULL, 0 };
  uint32_t status = blitz_ask(host, import, blitz_text(question), &out);
  snprintf(line, sizeof line, "%u %.*s\n", status, (int)out.len, (const char *)out.ptr);
  blitz_print(lent, line);
}

/* The table as an engine of version 1.0 has it. */
static void ask_old(void) {
  struct blitz_host old = *lent;
  old.minor = 0;
  old.size = offsetof(struct blitz_host, ask);
  old.ask = NULL;
  ask(&old, "networks.whose", "[]");
}

static uint16_t number(struct blitz_bytes text) {
  uint16_t n = 0;
  for (size_t i = 0; i < text.len; i++) n = (uint16_t)(n * 10 + (text.ptr[i] - '0'));
  return n;
}

static uint32_t attack(const char *how, const struct blitz_invocation *call) {
  char *none[] = { NULL };
  if (!strcmp(how, "noop")) return 0;
  if (!strcmp(how, "told")) return blitz_print(lent, told);
  if (!strcmp(how, "files")) files();
  if (!strcmp(how, "processes")) processes();
  if (!strcmp(how, "rights")) rights();
  if (!strcmp(how, "network")) network();
  if (!strcmp(how, "ports") && call->args_len == 3)
    stray(number(call->args[1]), number(call->args[2]));
  if (!strcmp(how, "descriptors")) descriptors();
  if (!strcmp(how, "dial") && call->args_len == 2) dial(number(call->args[1]));
  if (!strcmp(how, "fork-bomb")) for (int i = 0; i < 100000; i++) if (fork() >= 0) return 9;
  if (!strcmp(how, "exec")) met("exec", execve("/bin/true", none, none));
  if (!strcmp(how, "ptrace")) met("ptrace", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
  if (!strcmp(how, "vm-write")) met("vm", syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
  if (!strcmp(how, "unshare")) met("unshare", syscall(SYS_unshare, 0x10000000));
  if (!strcmp(how, "segfault")) *(volatile int *)0 = 1;
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "exit")) exit(0);
  if (!strcmp(how, "stack")) return (uint32_t)deep(0);
  if (!strcmp(how, "code")) return 4711;
  if (!strcmp(how, "spin")) for (;;) { __asm__ volatile(""); }
  if (!strcmp(how, "deaf")) {
    /* Asks nothing, hears nothing, blocks every signal that can be blocked. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;) pause();
  }
  if (!strcmp(how, "allocate")) {
    for (;;) {
      char *block = malloc(1 << 20);
      if (!block) { blitz_print(lent, "malloc: NULL\n"); return 7; }
      memset(block, 1, 1 << 20);
    }
  }
  if (!strcmp(how, "garbage")) fill(line(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n", 27);
  if (!strcmp(how, "nonsense")) {
    write(line(), "\4\0\0\0\0\0\0\0nope", 12);
    for (;;) pause();
  }
  if (!strcmp(how, "huge-header")) { write(line(), "\xff\xff\xff\x7f\0\0\0\0", 8); for (;;) pause(); }
  if (!strcmp(how, "huge-body")) { write(line(), "\2\0\0\0\xff\xff\xff\x7f{}", 10); for (;;) pause(); }
  if (!strcmp(how, "slow-frame")) { write(line(), "\2\0\0\0\0\0\xff\0{}", 10); for (;;) pause(); }
  if (!strcmp(how, "twice")) { write(line(), "\x0d\0\0\0\0\0\0\0\"IsCancelled\"", 21); for (;;) pause(); }
  if (!strcmp(how, "cage-again")) {
    write(line(), "\x18\0\0\0\0\0\0\0{\"Caged\":{\"lacks\":null}}", 32);
    for (;;) pause();
  }
  if (!strcmp(how, "close")) { close(line()); for (;;) pause(); }
  if (!strcmp(how, "close-all")) { for (int fd = 0; fd < 64; fd++) close(fd); for (;;) pause(); }
  if (!strcmp(how, "foreign-body")) {
    struct blitz_bytes out = { NULL, 0 };
    return lent->body_read(lent->context, 1, 10, &out);
  }
  if (!strcmp(how, "ask")) {
    ask(lent, "nope", "{}");
    ask(lent, "dns.exchange", "{\"bytes\":");
    ask(lent, "probes.open", "[1]");
    ask(lent, "\xff\xfe", "\xff");
  }
  if (!strcmp(how, "foreign-session")) ask(lent, "probes.next", "{\"session\":0,\"wait_us\":1}");
  if (!strcmp(how, "closed-session")) {
    ask(lent, "probes.open", "{\"host\":\"127.0.0.1\"}");
    ask(lent, "probes.close", "{\"session\":0}");
    ask(lent, "probes.close", "{\"session\":0}");
  }
  if (!strcmp(how, "old-host")) ask_old();
  if (!strcmp(how, "flood")) for (;;) printf("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
  if (!strcmp(how, "flood-frames")) for (;;) blitz_print(lent, "0123456789abcdef0123456789abcdef\n");
  return 0;
}

static struct blitz_bytes describe(void) {
  return blitz_text("{\"name\":\"hostile\",\"version\":\"0.1.0\",\"summary\":\"attacks\",\"contract\":\"0.1.0\"}");
}

static uint32_t run(const struct blitz_host *host, const struct blitz_invocation *call) {
  char how[64] = { 0 };
  lent = host;
  if (call->args_len > 0 && call->args[0].len < sizeof how) memcpy(how, call->args[0].ptr, call->args[0].len);
  return attack(how, call);
}

const struct blitz_table blitz_plugin = { MAGIC, MAJOR, MINOR, SIZE, describe, run };

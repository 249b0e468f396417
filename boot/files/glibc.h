/*
 * For programs that are built on a system with a newer C library than those of the images that they are to run on:
 *
 *   CFLAGS="-include $PWD/boot/files/glibc.h" cargo build --release --package blitz
 *
 * The one function of blitz for which glibc has had a newer version since 2.34 is `hypot`, of 2.35, which no longer sets
 * `errno`; the JavaScript engine of the embedded store calls it, and does not look at `errno`. With this it names the version of
 * old, which all have. `blitz-boot bundle` says whether there is anything left.
 */
#if defined(__ASSEMBLER__)
/* Sources in assembly call none of it. */
#elif defined(__x86_64__)
__asm__(".symver hypot,hypot@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver hypot,hypot@GLIBC_2.17");
#endif

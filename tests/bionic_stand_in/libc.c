/* What an Android library takes of Android's C library and a desktop's has otherwise, or not at all.

   The names that both have, with another meaning, are those that android_host.py has renamed in its
   copy of the library: their first letter, or that behind an underscore, is a b. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* stdin, stdout and stderr lie in an array of that size there; only stderr is written to. */
char __sF[3 * 152];

static FILE *host(FILE *stream) {
  char *at = (char *)stream;
  return at >= __sF && at < __sF + sizeof __sF ? stderr : stream;
}

int vbprintf(FILE *stream, const char *format, va_list list) {
  return vfprintf(host(stream), format, list);
}

int bprintf(FILE *stream, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int written = vfprintf(host(stream), format, list);
  va_end(list);
  return written;
}

int bputc(int character, FILE *stream) { return fputc(character, host(stream)); }

size_t bwrite(const void *data, size_t size, size_t count, FILE *stream) {
  return fwrite(data, size, count, host(stream));
}

int bflush(FILE *stream) { return fflush(host(stream)); }

int __android_log_vprint(int priority, const char *tag, const char *format, va_list list) {
  (void)priority;
  fprintf(stderr, "%s: ", tag);
  int written = vfprintf(stderr, format, list);
  fputc('\n', stderr);
  return written;
}

void android_set_abort_message(const char *text) { fprintf(stderr, "%s\n", text); }

/* TensorFlow Lite asks for nothing else, and takes XNNPACK from version 20 on. */
int __system_property_get(const char *name, char *value) {
  strcpy(value, strcmp(name, "ro.build.version.sdk") == 0 ? "34" : "");
  return (int)strlen(value);
}

int *__errno(void) { return __errno_location(); }

size_t __strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}

/* The numbers are those of bionic's bits/sysconf.h. */
long bysconf(int name) {
  switch (name) {
    case 0x27:
    case 0x28:
      return sysconf(_SC_PAGESIZE);
    case 0x60:
      return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61:
      return sysconf(_SC_NPROCESSORS_ONLN);
    default:
      fprintf(stderr, "sysconf(%d) of bionic is not known here\n", name);
      errno = EINVAL;
      return -1;
  }
}

/* Its masks have other bits; the only locale asked for is C. */
locale_t bewlocale(int mask, const char *name, locale_t base) {
  (void)mask;
  return newlocale(LC_ALL_MASK, name, base);
}

/* RTLD_DEFAULT, a null there too, looks into the calling library first. */
void *blsym(void *library, const char *name) {
  void *self = library ? library : dlopen("libtensorflowlite_jni.so", RTLD_NOLOAD | RTLD_NOW);
  return dlsym(self, name);
}

/* XNNPACK asks for the alignment of the widest vectors that an Android device has; a desktop's
   AVX-512, which it uses all the same, needs 64 bytes. */
void *bemalign(size_t alignment, size_t size) {
  return memalign(alignment < 64 ? 64 : alignment, size);
}

int posix_bemalign(void **found, size_t alignment, size_t size) {
  return posix_memalign(found, alignment < 64 ? 64 : alignment, size);
}

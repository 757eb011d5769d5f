// Preloaded into a process, counts what one shared object (an address range) takes from the allocator and the system:
// calls of malloc, calloc, realloc, posix_memalign, aligned_alloc, mmap and operator new that return into the range.
// Built by test_allocations.py.
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

enum { SMALL = 0, BLOCK = 1 };  // malloc and the like; aligned memory and mappings
static uintptr_t low, high;
static long calls[2], bytes[2];

static void note(int kind, size_t size, void* to) {
  if ((uintptr_t)to < low || (uintptr_t)to >= high) return;
  __atomic_fetch_add(&calls[kind], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&bytes[kind], (long)size, __ATOMIC_RELAXED);
}
#define NOTE(kind, size) note(kind, size, __builtin_return_address(0))

void arn_count(uintptr_t from, uintptr_t to) {
  low = from;
  high = to;
  for (int i = 0; i < 2; ++i) calls[i] = bytes[i] = 0;
}
long arn_calls(int kind) { return calls[kind]; }
long arn_bytes(int kind) { return bytes[kind]; }

void* malloc(size_t n) {
  NOTE(SMALL, n);
  return __libc_malloc(n);
}
void* calloc(size_t n, size_t m) {
  NOTE(SMALL, n * m);
  return __libc_calloc(n, m);
}
void* realloc(void* p, size_t n) {
  NOTE(SMALL, n);
  return __libc_realloc(p, n);
}
void* aligned_alloc(size_t align, size_t n) {
  NOTE(BLOCK, n);
  return __libc_memalign(align, n);
}
int posix_memalign(void** out, size_t align, size_t n) {
  NOTE(BLOCK, n);
  void* p = __libc_memalign(align, n);
  if (p == NULL) return ENOMEM;
  *out = p;
  return 0;
}
void* mmap(void* at, size_t n, int protection, int flags, int file, off_t offset) {
  NOTE(BLOCK, n);
  return (void*)syscall(SYS_mmap, at, n, protection, flags, file, offset);
}
void* operator_new(size_t n) __asm__("_Znwm");
void* operator_new(size_t n) {
  NOTE(SMALL, n);
  return __libc_malloc(n);
}
void* operator_new_array(size_t n) __asm__("_Znam");
void* operator_new_array(size_t n) {
  NOTE(SMALL, n);
  return __libc_malloc(n);
}

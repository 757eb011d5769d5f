// Preloaded into a process, counts what one shared object (an address range) takes from the allocator and the system:
// calls of malloc, calloc, realloc, posix_memalign, aligned_alloc, mmap and operator new that return into the range.
// One of them, by its number, can be made to fail. Built by test_allocations.py and tests/soak.
#define _GNU_SOURCE
#include <dlfcn.h>
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
static long failing;  // calls until one fails; 0: none does
static size_t least;  // bytes of a call that counts among these

// Whether this call fails.
static int note(int kind, size_t size, void* to) {
  if ((uintptr_t)to < low || (uintptr_t)to >= high) return 0;
  __atomic_fetch_add(&calls[kind], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&bytes[kind], (long)size, __ATOMIC_RELAXED);
  return size >= least && __atomic_load_n(&failing, __ATOMIC_RELAXED) > 0 &&
         __atomic_sub_fetch(&failing, 1, __ATOMIC_RELAXED) == 0;
}
#define NOTE(kind, size) note(kind, size, __builtin_return_address(0))

// What operator new does without memory.
static void* no_memory(void) {
  void* library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void (*throw_bad_alloc)(void) = (void (*)(void))dlsym(library, "_ZSt17__throw_bad_allocv");
  throw_bad_alloc();
  return NULL;
}

void arn_count(uintptr_t from, uintptr_t to) {
  low = from;
  high = to;
  for (int i = 0; i < 2; ++i) calls[i] = bytes[i] = 0;
}
// The nth call of at least so many bytes from now on fails; 0: none.
void arn_fail(long n, size_t bytes) {
  least = bytes;
  failing = n;
}
// Whether it has.
int arn_failed(void) { return failing == 0; }
long arn_calls(int kind) { return calls[kind]; }
long arn_bytes(int kind) { return bytes[kind]; }

void* malloc(size_t n) { return NOTE(SMALL, n) ? NULL : __libc_malloc(n); }
void* calloc(size_t n, size_t m) { return NOTE(SMALL, n * m) ? NULL : __libc_calloc(n, m); }
void* realloc(void* p, size_t n) { return NOTE(SMALL, n) ? NULL : __libc_realloc(p, n); }
void* aligned_alloc(size_t align, size_t n) { return NOTE(BLOCK, n) ? NULL : __libc_memalign(align, n); }
int posix_memalign(void** out, size_t align, size_t n) {
  void* p = NOTE(BLOCK, n) ? NULL : __libc_memalign(align, n);
  if (p == NULL) return ENOMEM;
  *out = p;
  return 0;
}
void* mmap(void* at, size_t n, int protection, int flags, int file, off_t offset) {
  if (NOTE(BLOCK, n)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return (void*)syscall(SYS_mmap, at, n, protection, flags, file, offset);
}
void* operator_new(size_t n) __asm__("_Znwm");
void* operator_new(size_t n) { return NOTE(SMALL, n) ? no_memory() : __libc_malloc(n); }
void* operator_new_array(size_t n) __asm__("_Znam");
void* operator_new_array(size_t n) { return NOTE(SMALL, n) ? no_memory() : __libc_malloc(n); }

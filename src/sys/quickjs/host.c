/*
 * The small program outside its TypeScript: QuickJS, its heap as the build left it, and the few functions through
 * which primitive.ts in this directory reaches the kernel. Whatever can be said in TypeScript is said there.
 *
 * It starts no thread, opens nothing, changes no descriptor, limit or signal, and reads no environment variable:
 * what it executes finds what its caller left. It never tears down: _exit frees a heap faster than JavaScript does.
 *
 * Nor does it set up. The build starts the linked program once (make_heap): it evaluates the bundle and writes out its
 * heap, which the build puts into the same executable. That is linked to fixed addresses, so all pointers stay right.
 *
 * Built a second time with -DCOMPILER it is the build's own tool, which turns a bundle into bytecode.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "quickjs.h"

/* Hostile JSON ends in an exception, not in a crash or a machine without memory. */
enum { MEMORY_LIMIT = 192 << 20, GC_THRESHOLD = 32 << 20, STACK_LIMIT = 1 << 20, STACK_RESERVE = 64 << 10 };

static void fatal(JSContext *ctx) {
  JSValue error = JS_GetException(ctx);
  const char *text = JS_ToCString(ctx, error);
  fprintf(stderr, "veneer: internal error: %s\n", text ? text : "out of memory");
  JSValue stack = JS_GetPropertyStr(ctx, error, "stack");
  if (JS_IsString(stack) && (text = JS_ToCString(ctx, stack))) fprintf(stderr, "%s", text);
  fflush(stderr);
  _exit(1);
}

#ifdef COMPILER

/* usage: compiler BUNDLE BYTECODE */
int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *file = fopen(argv[1], "rb");
  if (!file || fseek(file, 0, SEEK_END)) return perror(argv[1]), 1;
  long length = ftell(file);
  char *text = calloc(1, length + 1);
  rewind(file);
  if (!text || fread(text, 1, length, file) != (size_t)length) return perror(argv[1]), 1;
  JSRuntime *runtime = JS_NewRuntime();
  JS_SetStripInfo(runtime, JS_STRIP_DEBUG);
  JSContext *ctx = JS_NewContext(runtime);
  JSValue code = JS_Eval(ctx, text, length, "veneer", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(code)) fatal(ctx);
  size_t size;
  uint8_t *bytes = JS_WriteObject(ctx, &size, code, JS_WRITE_OBJ_BYTECODE);
  if (!bytes) fatal(ctx);
  file = fopen(argv[2], "wb");
  if (!file || fwrite(bytes, 1, size, file) != size || fclose(file)) return perror(argv[2]), 1;
  return 0;
}

#else

/*
 * The heap: blocks of few sizes from a growing area, each with its size in the 8 bytes before it, kept in a list of
 * their size when they are freed. Everything that QuickJS keeps from the build to a start is in here.
 */
enum { STEP = 16, SMALL = 2048, CLASSES = SMALL / STEP + 1 + 64, FIRST_AREA = 128 << 10, AREA = 256 << 10 };
enum { PAGE = 4096, STACK_USED = 32 << 10 };
#ifndef MADV_POPULATE_WRITE /* musl 1.2.3 has them not */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
static struct __attribute__((aligned(PAGE))) heap {
  JSRuntime *runtime;
  JSContext *ctx; /* set last, so where it is missing the program is not finished */
  JSValue start;  /* the function that main.ts left */
  char *area, *area_end;
  struct block { struct block *next; } *unused[CLASSES];
  char first[HEAP_SIZE] __attribute__((aligned(STEP)));
} heap __attribute__((section(".heap")));

static size_t size_of(const void *pointer) { return pointer ? ((const uint64_t *)pointer)[-1] : 0; }

/* The least room of STEP * n or, beyond SMALL, of 2^n bytes for a block of this size; and its class. */
static size_t room_for(size_t size, unsigned *class) {
  size_t room = (size + 8 + STEP - 1) / STEP * STEP;
  *class = room / STEP;
  if (room <= SMALL || room < size) return room;
  unsigned bits = 64 - __builtin_clzl(room - 1);
  *class = SMALL / STEP + 1 + bits;
  return 1UL << bits;
}

/* New memory is zero. A block begins 8 bytes before a multiple of 16 with its size. */
static void *grow(size_t room) {
  if ((size_t)(heap.area_end - heap.area) < room + 8) {
    size_t size = room < AREA ? AREA : room + STEP;
    void *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (area == MAP_FAILED) return NULL;
    if (room >= AREA) return (char *)area + 16;
    heap.area = area;
    heap.area_end = heap.area + size;
  }
  char *block = heap.area + 16;
  heap.area += room;
  return block;
}

static void *allocate(JSMallocState *state, size_t size) {
  unsigned class;
  size_t room = room_for(size, &class);
  if (room < size || state->malloc_size + room > state->malloc_limit) return NULL;
  void *block = heap.unused[class];
  if (block) heap.unused[class] = heap.unused[class]->next;
  else if (!(block = grow(room))) return NULL;
  ((uint64_t *)block)[-1] = room - 8;
  state->malloc_count++;
  state->malloc_size += room;
  return block;
}

static void release(JSMallocState *state, void *pointer) {
  unsigned class;
  if (!pointer) return;
  size_t room = room_for(size_of(pointer), &class);
  state->malloc_count--;
  state->malloc_size -= room;
  if (room >= AREA) return (void)munmap((char *)pointer - 16, room + STEP);
  if (!heap.ctx) memset(pointer, 0, room - 8); /* the same heap from each build */
  ((struct block *)pointer)->next = heap.unused[class];
  heap.unused[class] = pointer;
}

static void *resize(JSMallocState *state, void *pointer, size_t size) {
  size_t old = size_of(pointer);
  if (size == 0) return release(state, pointer), NULL;
  if (pointer && size <= old && size >= old / 2) return pointer;
  void *block = allocate(state, size);
  if (!block || !pointer) return block;
  memcpy(block, pointer, old < size ? old : size);
  release(state, pointer);
  return block;
}

static const JSMallocFunctions memory __attribute__((unused)) = {allocate, release, resize, size_of};

/* Start of a typed array's bytes; NULL and an exception for anything else. */
static uint8_t *bytes_of(JSContext *ctx, JSValueConst value, size_t *length) {
  size_t offset, size;
  JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, length, NULL);
  if (JS_IsException(buffer)) return NULL;
  uint8_t *bytes = JS_GetArrayBuffer(ctx, &size, buffer);
  JS_FreeValue(ctx, buffer); /* the array itself still holds it */
  return bytes ? bytes + offset : NULL;
}

static JSValue new_bytes(JSContext *ctx, const void *bytes, size_t length) {
  JSValue of[] = {JS_NewArrayBufferCopy(ctx, bytes, length), JS_UNDEFINED, JS_UNDEFINED};
  if (JS_IsException(of[0])) return of[0];
  JSValue array = JS_NewTypedArray(ctx, 3, of, JS_TYPED_ARRAY_UINT8);
  JS_FreeValue(ctx, of[0]);
  return array;
}

/* As encodeName writes it: U+DC80 to U+DCFF are the bytes 80 to FF, any other lone surrogate is U+FFFD. */
static const char *path_of(JSContext *ctx, JSValueConst value) {
  size_t length;
  const char *text = JS_ToCStringLen(ctx, &length, value);
  if (!text) return NULL;
  if (strlen(text) != length) return JS_FreeCString(ctx, text), JS_ThrowTypeError(ctx, "a path with a NUL"), NULL;
  if (!memchr(text, 0xed, length)) return text;
  /* QuickJS has made this text, which is not ASCII, for this call */
  uint8_t *end = (uint8_t *)text;
  for (const uint8_t *p = end; *p;) {
    int n = p[0] == 0xed && p[1] >= 0xa0 ? 3 : 1;
    int is_byte = n == 3 && ((p[1] == 0xb2 && p[2] >= 0x80) || p[1] == 0xb3);
    if (is_byte) *end++ = (p[1] & 3) << 6 | (p[2] & 0x3f);
    else end = (uint8_t *)memcpy(end, n == 3 ? "\xef\xbf\xbd" : (const char *)p, n) + n;
    p += n;
  }
  *end = 0;
  return text;
}

/* `text`: what is to be freed after the call, or NULL. */
static int argument(JSContext *ctx, JSValueConst value, long *result, const char **text) {
  if (JS_IsString(value)) {
    *text = path_of(ctx, value);
    return *result = (long)*text, *text ? 0 : -1;
  }
  if (JS_VALUE_GET_TAG(value) == JS_TAG_INT) return *result = JS_VALUE_GET_INT(value), 0;
  if (JS_IsNull(value)) return *result = 0, 0;
  if (JS_IsNumber(value) || JS_IsBigInt(ctx, value)) {
    int64_t number;
    double fraction;
    if (JS_IsNumber(value)) {
      JS_ToFloat64(ctx, &fraction, value);
      if (!(fraction >= -9007199254740992.0 && fraction <= 9007199254740992.0) || fraction != (double)(int64_t)fraction)
        return JS_ThrowRangeError(ctx, "argument of a system call is not an integer"), -1;
      number = (int64_t)fraction;
    } else if (JS_ToBigInt64(ctx, &number, value)) return -1; /* modulo 2^64, so unsigned values pass too */
    return *result = number, 0;
  }
  size_t length;
  uint8_t *bytes = bytes_of(ctx, value, &length);
  return *result = (long)bytes, bytes ? 0 : -1;
}

/* syscall(number, ...up to six): the result, or -errno. undefined is refused: it would be a forgotten argument. */
static JSValue host_syscall(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  long a[7] = {0}, result = 0;
  const char *texts[7] = {0};
  int failed = 0;
  if (!heap.ctx) return JS_ThrowInternalError(ctx, "a system call of the build");
  if (argc > 7) return JS_ThrowTypeError(ctx, "a system call has six arguments");
  for (int i = 0; i < argc && !failed; i++) failed = argument(ctx, argv[i], &a[i], &texts[i]);
  if (!failed && (result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6])) == -1) result = -errno;
  for (int i = 0; i < argc; i++) JS_FreeCString(ctx, texts[i]);
  return failed ? JS_EXCEPTION : JS_NewInt64(ctx, result);
}

/* Where a typed array's bytes are, for structures that hold pointers. They stay there as long as it is reachable. */
static JSValue host_address(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length;
  uint8_t *bytes = bytes_of(ctx, argv[0], &length);
  return bytes ? JS_NewBigUint64(ctx, (uintptr_t)bytes) : JS_EXCEPTION;
}

/* Length of the well-formed UTF-8 sequence at p (Unicode, table 3-7), or minus that of what one U+FFFD replaces. */
static int sequence(const uint8_t *p, size_t left) {
  uint8_t c = p[0], low = 0x80, high = 0xbf;
  if (c < 0x80) return 1;
  int length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  if (c < 0xc2 || c > 0xf4) return -1;
  if (c == 0xe0) low = 0xa0;
  if (c == 0xed) high = 0x9f;
  if (c == 0xf0) low = 0x90;
  if (c == 0xf4) high = 0x8f;
  for (int i = 1; i < length; i++, low = 0x80, high = 0xbf)
    if ((size_t)i >= left || p[i] < low || p[i] > high) return -i;
  return length;
}

/* UTF-8 to a string; what is ill-formed becomes U+FFFD, as the Encoding Standard says. */
static JSValue host_decode(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length, at = 0;
  const uint8_t *bytes = bytes_of(ctx, argv[0], &length);
  if (!bytes) return JS_EXCEPTION;
  for (int n; at < length && (n = sequence(bytes + at, length - at)) > 0;) at += n;
  if (at == length) return JS_NewStringLen(ctx, (const char *)bytes, length);
  uint8_t *copy = js_malloc(ctx, length * 3), *end = copy;
  if (!copy) return JS_EXCEPTION;
  for (at = 0; at < length;) {
    int n = sequence(bytes + at, length - at);
    memcpy(end, n > 0 ? (const char *)bytes + at : "\xef\xbf\xbd", n > 0 ? n : 3);
    end += n > 0 ? n : 3;
    at += n > 0 ? n : -n;
  }
  JSValue text = JS_NewStringLen(ctx, (char *)copy, end - copy);
  js_free(ctx, copy);
  return text;
}

/* A string to UTF-8; a lone surrogate, which QuickJS writes as three bytes, becomes U+FFFD, which has three too. */
static JSValue host_encode(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length;
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  JSValue array = new_bytes(ctx, text, length);
  JS_FreeCString(ctx, text);
  uint8_t *bytes = JS_IsException(array) ? NULL : bytes_of(ctx, array, &length);
  for (size_t i = 0; bytes && i + 2 < length; i++)
    if (bytes[i] == 0xed && bytes[i + 1] >= 0xa0) memcpy(bytes + i, "\xef\xbf\xbd", 3);
  return array;
}

/* Those of the strings that begin with `prefix`, as bytes. */
static JSValue byte_strings(JSContext *ctx, char **list, const char *prefix) {
  JSValue array = JS_NewArray(ctx);
  uint32_t count = 0;
  for (; *list; list++) {
    if (strncmp(*list, prefix, strlen(prefix))) continue;
    JSValue bytes = new_bytes(ctx, *list, strlen(*list));
    if (JS_IsException(bytes) || JS_SetPropertyUint32(ctx, array, count++, bytes) < 0) return JS_EXCEPTION;
  }
  return array;
}

static char **arguments;

static JSValue host_arguments(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  return byte_strings(ctx, arguments, "");
}

static JSValue host_environment(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *prefix = JS_ToCString(ctx, argv[0]);
  JSValue array = prefix ? byte_strings(ctx, environ, prefix) : JS_EXCEPTION;
  JS_FreeCString(ctx, prefix);
  return array;
}

static const JSCFunctionListEntry functions[] = {
  JS_CFUNC_DEF("syscall", 7, host_syscall),     JS_CFUNC_DEF("addressOf", 1, host_address),
  JS_CFUNC_DEF("decode", 1, host_decode),       JS_CFUNC_DEF("encode", 1, host_encode),
  JS_CFUNC_DEF("arguments", 0, host_arguments), JS_CFUNC_DEF("environment", 1, host_environment),
};

/* Evaluates the bundle; what it leaves as host.start is the program. */
static void evaluate(JSContext *ctx, const uint8_t *bytecode, size_t size) {
  JS_AddIntrinsicBaseObjects(ctx);
  JS_AddIntrinsicDate(ctx);
  JS_AddIntrinsicRegExpCompiler(ctx);
  JS_AddIntrinsicRegExp(ctx);
  JS_AddIntrinsicJSON(ctx);
  JS_AddIntrinsicMapSet(ctx);
  JS_AddIntrinsicTypedArrays(ctx);
  JSValue global = JS_GetGlobalObject(ctx), host = JS_NewObject(ctx);
  JS_SetPropertyFunctionList(ctx, host, functions, sizeof functions / sizeof functions[0]);
  JS_SetPropertyStr(ctx, global, "host", host);
  JSValue code = JS_ReadObject(ctx, bytecode, size, JS_READ_OBJ_BYTECODE);
  if (JS_IsException(code) || JS_IsException(JS_EvalFunction(ctx, code))) fatal(ctx);
  heap.start = JS_GetPropertyStr(ctx, host, "start");
  JS_FreeValue(ctx, global);
}

static JSContext *new_context(const JSMallocFunctions *memory) {
  heap.runtime = memory ? JS_NewRuntime2(memory, NULL) : JS_NewRuntime();
  JSContext *ctx = heap.runtime ? JS_NewContextRaw(heap.runtime) : NULL;
  if (!ctx) exit(1);
  JS_SetMemoryLimit(heap.runtime, MEMORY_LIMIT);
  JS_SetGCThreshold(heap.runtime, GC_THRESHOLD);
  return ctx;
}

#ifdef SANITIZED

extern const uint8_t bytecode[], bytecode_end[];
__asm__(".section .rodata\nbytecode: .incbin \"bytecode\"\nbytecode_end: .byte 0\n.text\n");

static void prepare(void) {
  JSContext *ctx = new_context(NULL);
  evaluate(ctx, bytecode, bytecode_end - bytecode);
  heap.ctx = ctx;
}

#else

/*
 * The time for the seed of random numbers, which is the one thing that QuickJS takes from outside when it starts, and for
 * Date. The C library would read the kernel's page of functions for it, which costs more than a call.
 */
int __wrap_gettimeofday(struct timeval *time, void *zone) {
  if (heap.ctx) return syscall(SYS_gettimeofday, time, zone);
  *time = (struct timeval){0};
  return 0;
}

/* Bytecode on standard input, the heap on standard output. */
static void make_heap(const void *stack) {
  heap.area = heap.first;
  heap.area_end = heap.first + sizeof heap.first;
  JSContext *ctx = new_context(&memory);
  enum { MOST = 4 << 20 };
  uint8_t *bytecode = malloc(MOST);
  if (!bytecode) exit(1);
  evaluate(ctx, bytecode, fread(bytecode, 1, MOST, stdin));
  /* holes in pages that are else only read: a start takes new memory, page after page, instead of copying those */
  memset(heap.unused, 0, sizeof heap.unused);
  /* QuickJS keeps the place of the stack, which is another at each start, and its limit */
  JS_SetMaxStackSize(heap.runtime, 0);
  for (uintptr_t *word = (uintptr_t *)&heap; word < (uintptr_t *)heap.area; word++)
    if (*word - ((uintptr_t)stack - STACK_LIMIT) < 2 * STACK_LIMIT) *word = 0;
  heap.ctx = ctx;
  fwrite(&heap, 1, sizeof heap, stdout);
  exit(fflush(stdout) != 0);
}

/* What a start takes first: enough for most. Behind the heap, in the same mapping. */
static char first_area[FIRST_AREA] __attribute__((aligned(PAGE)));

/*
 * A page that is first touched costs an exception, in a virtual machine a dear one, and a start touches more than half
 * of all: the kernel is told at once (Linux 5.14; before, they come one by one). The linker defines the bounds.
 */
static void fetch_pages(char *frame) {
  extern char __executable_start[], __init_array_start[];
  const uintptr_t page = -(uintptr_t)getpagesize();
  char *data = (char *)((uintptr_t)__init_array_start & page), *stack = (char *)((uintptr_t)frame & page);
  madvise(data, first_area + FIRST_AREA - data, MADV_POPULATE_WRITE);
  madvise(__executable_start, data - __executable_start, MADV_POPULATE_READ);
  madvise(stack - STACK_USED, STACK_USED, MADV_POPULATE_WRITE);
}

static void prepare(void) {
  char *frame = __builtin_frame_address(0);
  if (!heap.ctx) make_heap(frame);
  fetch_pages(frame);
  heap.area = first_area;
  heap.area_end = first_area + FIRST_AREA;
  JS_UpdateStackTop(heap.runtime);
}

#endif

int main(int argc, char **argv) {
  arguments = argv;
  prepare();
  struct rlimit stack;
  rlim_t room = getrlimit(RLIMIT_STACK, &stack) ? STACK_RESERVE * 2 : stack.rlim_cur;
  JS_SetMaxStackSize(heap.runtime, room < STACK_LIMIT + STACK_RESERVE ? room - STACK_RESERVE : STACK_LIMIT);
  /* the program ends itself (exit_group): it comes back only by an exception that nothing caught */
  if (JS_IsException(JS_Call(heap.ctx, heap.start, JS_UNDEFINED, 0, NULL))) fatal(heap.ctx);
  _exit(0);
}

#endif

/*
 * The small program outside its TypeScript: QuickJS, the bytecode of the build, and the few functions through
 * which primitive.ts in this directory reaches the kernel. Whatever can be said in TypeScript is said there.
 *
 * It starts no thread, opens nothing, changes no descriptor, limit or signal, and reads no environment variable:
 * what it executes finds what its caller left. It never tears down: _exit frees a heap faster than JavaScript does.
 *
 * Built a second time with -DCOMPILER it is the build's own tool, which turns a bundle into bytecode.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

static int initialize(JSContext *ctx, JSModuleDef *module) { return 0; }

/* Imports are compiled by themselves: here an empty module stands for each. */
static JSModuleDef *imported(JSContext *ctx, const char *name, void *opaque) {
  return JS_NewCModule(ctx, name, initialize);
}

/* usage: compiler BUNDLE NAME BYTECODE; NAME is what others import it by */
int main(int argc, char **argv) {
  if (argc != 4) return 2;
  FILE *file = fopen(argv[1], "rb");
  if (!file || fseek(file, 0, SEEK_END)) return perror(argv[1]), 1;
  long length = ftell(file);
  char *text = calloc(1, length + 1);
  rewind(file);
  if (!text || fread(text, 1, length, file) != (size_t)length) return perror(argv[1]), 1;
  JSRuntime *runtime = JS_NewRuntime();
  JS_SetStripInfo(runtime, JS_STRIP_DEBUG);
  JSContext *ctx = JS_NewContext(runtime);
  JS_SetModuleLoaderFunc(runtime, NULL, imported, NULL);
  JSValue code = JS_Eval(ctx, text, length, argv[2], JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(code)) fatal(ctx);
  size_t size;
  uint8_t *bytes = JS_WriteObject(ctx, &size, code, JS_WRITE_OBJ_BYTECODE);
  if (!bytes) fatal(ctx);
  file = fopen(argv[3], "wb");
  if (!file || fwrite(bytes, 1, size, file) != size || fclose(file)) return perror(argv[3]), 1;
  return 0;
}

#else

/*
 * Memory, a quarter of all work with a general allocator: blocks of few sizes from a growing area, each with its size
 * in the 8 bytes before it, kept in a list of their size when they are freed. Large ones are the C library's.
 */
enum { STEP = 16, SMALL = 2048, AREA = 64 << 10 };
static struct block { struct block *next; } *unused[SMALL / STEP + 1];
static char *area, *area_end;

static size_t size_of(const void *pointer) { return pointer ? ((const uint64_t *)pointer)[-1] : 0; }

static void *set_size(char *start, size_t size) {
  *(uint64_t *)(start + 8) = size;
  return start + 16;
}

/* Of size n * STEP - 8, so that every block begins at a multiple of 16. */
static void *allocate(JSMallocState *state, size_t size) {
  size_t room = (size + 8 + STEP - 1) / STEP * STEP;
  if (room < size || state->malloc_size + room > state->malloc_limit) return NULL;
  void *block;
  if (room > SMALL) {
    char *start = malloc(room + 8);
    if (!start) return NULL;
    block = set_size(start, room - 8);
  } else if (unused[room / STEP]) {
    block = unused[room / STEP];
    unused[room / STEP] = unused[room / STEP]->next;
  } else {
    if ((size_t)(area_end - area) < room + 8) {
      if (!(area = malloc(AREA))) return NULL;
      area_end = area + AREA;
    }
    block = set_size(area, room - 8);
    area += room;
  }
  state->malloc_count++;
  state->malloc_size += room;
  return block;
}

static void release(JSMallocState *state, void *pointer) {
  if (!pointer) return;
  size_t room = size_of(pointer) + 8;
  state->malloc_count--;
  state->malloc_size -= room;
  if (room > SMALL) return free((char *)pointer - 16);
  ((struct block *)pointer)->next = unused[room / STEP];
  unused[room / STEP] = pointer;
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

/* Made by the build: the number of units; for each its name, place and size; then their bytecode. */
struct unit {
  char name[24];
  uint32_t offset, size;
};
extern const uint8_t units[];
__asm__(".section .rodata\n.balign 16\n.global units\nunits: .incbin \"units.bin\"\n.byte 0\n.text\n");

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

static int argument(JSContext *ctx, JSValueConst value, long *result) {
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
  long a[7] = {0};
  if (argc > 7) return JS_ThrowTypeError(ctx, "a system call has six arguments");
  for (int i = 0; i < argc; i++)
    if (argument(ctx, argv[i], &a[i])) return JS_EXCEPTION;
  long result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
  return JS_NewInt64(ctx, result == -1 ? -errno : result);
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

/* Reads a module when the first import of it is met: what a call does not need is never read. */
static JSModuleDef *read_unit(JSContext *ctx, const char *name, void *opaque) {
  uint32_t count;
  memcpy(&count, units, sizeof count);
  const struct unit *unit = (const struct unit *)(units + 16);
  while (count > 0 && strcmp(unit->name, name)) unit++, count--;
  if (count == 0) return JS_ThrowReferenceError(ctx, "no unit %s", name), NULL;
  JSValue code = JS_ReadObject(ctx, units + unit->offset, unit->size, JS_READ_OBJ_BYTECODE);
  if (JS_IsException(code) || JS_ResolveModule(ctx, code)) return NULL;
  return JS_VALUE_GET_PTR(code);
}

/* import() that waits: modules of the build have nothing asynchronous. The module's namespace. */
static JSValue load_unit(JSContext *ctx, const char *name) {
  JSValue promise = JS_LoadModule(ctx, "", name);
  JSContext *other;
  while (JS_ExecutePendingJob(JS_GetRuntime(ctx), &other) > 0);
  JSValue result = JS_IsException(promise) ? promise : JS_PromiseResult(ctx, promise);
  return JS_PromiseState(ctx, promise) == JS_PROMISE_REJECTED ? JS_Throw(ctx, result) : result;
}

static JSValue host_unit(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  JSValue namespace = name ? load_unit(ctx, name) : JS_EXCEPTION;
  JS_FreeCString(ctx, name);
  return namespace;
}

static JSValue byte_strings(JSContext *ctx, char **list) {
  JSValue array = JS_NewArray(ctx);
  for (uint32_t i = 0; list[i]; i++) {
    JSValue bytes = new_bytes(ctx, list[i], strlen(list[i]));
    if (JS_IsException(bytes) || JS_SetPropertyUint32(ctx, array, i, bytes) < 0) return JS_EXCEPTION;
  }
  return array;
}

static char **arguments;

static JSValue host_arguments(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  return byte_strings(ctx, arguments);
}

static JSValue host_environment(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  return byte_strings(ctx, environ);
}

static const JSCFunctionListEntry functions[] = {
  JS_CFUNC_DEF("syscall", 7, host_syscall),     JS_CFUNC_DEF("addressOf", 1, host_address),
  JS_CFUNC_DEF("decode", 1, host_decode),       JS_CFUNC_DEF("encode", 1, host_encode),
  JS_CFUNC_DEF("unit", 1, host_unit),           JS_CFUNC_DEF("arguments", 0, host_arguments),
  JS_CFUNC_DEF("environment", 0, host_environment),
};

int main(int argc, char **argv) {
  arguments = argv;
#ifdef SANITIZED
  JSRuntime *runtime = JS_NewRuntime();
#else
  JSRuntime *runtime = JS_NewRuntime2(&memory, NULL);
#endif
  JSContext *ctx = runtime ? JS_NewContextRaw(runtime) : NULL;
  if (!ctx) return fputs("veneer: out of memory\n", stderr), 1;
  JS_SetMemoryLimit(runtime, MEMORY_LIMIT);
  JS_SetGCThreshold(runtime, GC_THRESHOLD);
  struct rlimit stack;
  rlim_t room = getrlimit(RLIMIT_STACK, &stack) ? STACK_RESERVE * 2 : stack.rlim_cur;
  JS_SetMaxStackSize(runtime, room < STACK_LIMIT + STACK_RESERVE ? room - STACK_RESERVE : STACK_LIMIT);
  JS_AddIntrinsicBaseObjects(ctx);
  JS_AddIntrinsicDate(ctx);
  JS_AddIntrinsicRegExpCompiler(ctx);
  JS_AddIntrinsicRegExp(ctx);
  JS_AddIntrinsicJSON(ctx);
  JS_AddIntrinsicMapSet(ctx);
  JS_AddIntrinsicTypedArrays(ctx);
  JS_AddIntrinsicPromise(ctx);
  JS_SetModuleLoaderFunc(runtime, NULL, read_unit, NULL);
  JSValue global = JS_GetGlobalObject(ctx), host = JS_NewObject(ctx);
  JS_SetPropertyFunctionList(ctx, host, functions, sizeof functions / sizeof functions[0]);
  JS_SetPropertyStr(ctx, global, "host", host);
  /* the program ends itself (exit_group): it comes back only by an exception that nothing caught */
  if (JS_IsException(load_unit(ctx, "main.js"))) fatal(ctx);
  _exit(0);
}

#endif

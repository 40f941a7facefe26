/*
 * libFuzzer's target: the small program's C with what target.ts does with each input, built by scripts/build-small.mjs
 * with the address and undefined behaviour sanitizers. Exceptions of JavaScript are what the program answers by; that
 * target.ts finds a difference is a crash here.
 */
#define main small_program
#include "../../src/sys/quickjs/host.c"
#undef main

static void report(JSContext *ctx) {
  JSValue error = JS_GetException(ctx);
  const char *text = JS_ToCString(ctx, error);
  /* QuickJS throws null where there is no memory left for an error */
  if (text && strstr(text, "DIFFERENCE")) {
    fprintf(stderr, "%s\n", text);
    abort();
  }
  JS_FreeCString(ctx, text);
  JS_FreeValue(ctx, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char *none[] = {NULL};
  if (!heap.ctx) {
    arguments = none;
    prepare();
    JS_SetMaxStackSize(heap.runtime, STACK_LIMIT);
  }
  JSContext *ctx = heap.ctx;
  JS_UpdateStackTop(heap.runtime);
  JSValue input = new_bytes(ctx, data, size);
  JSValue result = JS_IsException(input) ? input : JS_Call(ctx, heap.start, JS_UNDEFINED, 1, &input);
  if (JS_IsException(result)) report(ctx);
  JS_FreeValue(ctx, result);
  JS_FreeValue(ctx, input);
  return 0;
}

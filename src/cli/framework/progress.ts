/** Redraws one line of progress on a terminal while long work runs; does nothing without a terminal. */
import { formatRemaining, type Part, type Progress } from "../../process/progress.ts";
import type { Context } from "./command.ts";

const INTERVAL = 200;

/** Erases the line when the scope ends. */
export function drawProgress(context: Context): Progress & Disposable {
  if (!context.progress) return { step() {}, [Symbol.dispose]() {} };
  let label = "";
  let sample: (() => string | Part) | undefined;
  const began = performance.now();
  let stepBegan = began;
  const draw = () => {
    const now = performance.now();
    const seen = sample?.() ?? "";
    const { text, share = 0, began: since = stepBegan } = typeof seen === "string" ? { text: seen } : seen;
    const remaining = formatRemaining(now - since, share);
    const times = [`${Math.round((now - began) / 1000)} s`, ...(remaining === undefined ? [] : [remaining])];
    const line = `${[label, text].filter((part) => part !== "").join(" ")} (${times.join(", ")})`;
    process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
  };
  const timer = setInterval(draw, INTERVAL);
  return {
    step(next, nextSample) {
      label = next;
      sample = nextSample;
      stepBegan = performance.now();
      draw();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      process.stderr.write("\r\x1b[K");
    },
  };
}

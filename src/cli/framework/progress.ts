/** Redraws one line of progress on a terminal while long work runs; does nothing without a terminal. */
import type { Progress } from "../../process/progress.ts";
import type { Context } from "./command.ts";

const INTERVAL = 200;

/** Erases the line when the scope ends. */
export function drawProgress(context: Context): Progress & Disposable {
  if (!context.progress) return { step() {}, [Symbol.dispose]() {} };
  let label = "";
  let sample: (() => string) | undefined;
  const began = performance.now();
  const draw = () => {
    const seconds = Math.round((performance.now() - began) / 1000);
    const text = `${label}${sample ? ` ${sample()}` : ""} (${seconds} s)`;
    process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
  };
  const timer = setInterval(draw, INTERVAL);
  return {
    step(next, nextSample) {
      label = next;
      sample = nextSample;
      draw();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      process.stderr.write("\r\x1b[K");
    },
  };
}

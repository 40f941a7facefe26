import { UsageError } from "../../errors.ts";
import { quote } from "../../text/quote.ts";
import type { Command } from "../framework/command.ts";
import bash from "../framework/completion/veneer.bash" with { type: "text" };
import fish from "../framework/completion/veneer.fish" with { type: "text" };
import zsh from "../framework/completion/veneer.zsh" with { type: "text" };

const SCRIPTS = { bash, zsh, fish };
const SHELLS = ["bash", "zsh", "fish"] as const;

export const command: Command = {
  name: "completion",
  outside: true,
  summary: "Print the completion script of a shell",
  operands: [{ name: "bash|zsh|fish", complete: SHELLS }],
  options: [],
  description: "The script asks veneer for the possible words, including the names of bases and instances.",
  examples: [
    "veneer completion bash >/usr/share/bash-completion/completions/veneer",
    "veneer completion zsh >/usr/local/share/zsh/site-functions/_veneer",
    "veneer completion fish >/usr/share/fish/vendor_completions.d/veneer.fish",
  ],
  run(context, input) {
    const shell = SHELLS.find((name) => name === input.operands[0]);
    if (!shell)
      throw new UsageError(`no completion for ${quote(input.operands[0] ?? "")}`, "it is bash, zsh or fish");
    context.out(SCRIPTS[shell].trimEnd());
  },
};

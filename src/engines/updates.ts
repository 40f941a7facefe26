/** The systemd timer and service that update bases according to their policies. */

import { VeneerError } from "../errors.ts";
import { listPolicies, readPolicy } from "../inventory/policy.ts";
import { type EngineSetup, type FileChange, ownFile } from "./engine.ts";
import { unitWords } from "./unit-words.ts";

/** `globals` are options before the command. Each base with a policy gets a drop-in file with its schedule. */
export function updates(directory: string, globals: readonly string[]): EngineSetup {
  return {
    name: "updates",
    changes: ({ etc, bin }) => {
      const units = `${etc}/systemd/system`;
      return [
        ownFile(`${units}/veneer-update@.service`, service([`${bin}/veneer`, ...globals])),
        ownFile(`${units}/veneer-update@.timer`, timer("daily")),
        ...listPolicies(directory).map((name) => schedule(units, directory, name)),
      ];
    },
    restart: "systemctl daemon-reload",
    use: "systemctl enable --now veneer-update@NAME.timer, for each base that is to follow its policy",
  };
}

function service(program: readonly string[]): string {
  return `[Unit]
Description=Update the veneer base %i by its policy
Documentation=man:veneer-base-update(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=${unitWords(program)} base update %i
Nice=10
IOSchedulingClass=idle
`;
}

function timer(calendar: string): string {
  return `[Unit]
Description=Update the veneer base %i when its policy says so

[Timer]
OnCalendar=${calendar}
RandomizedDelaySec=5min
Persistent=true

[Install]
WantedBy=timers.target
`;
}

function schedule(units: string, directory: string, name: string): FileChange {
  const { policy } = readPolicy(directory, name);
  if (/[\n%]/.test(policy.schedule)) {
    throw new VeneerError("BAD_POLICY", `schedule of ${name} is no calendar event`, {
      hint: "see systemd.time(7)",
    });
  }
  const text = `[Timer]\nOnCalendar=\nOnCalendar=${policy.schedule}\n`;
  return ownFile(`${units}/veneer-update@${name}.timer.d/schedule.conf`, text);
}

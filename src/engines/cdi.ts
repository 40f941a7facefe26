/**
 * The CDI specification (Container Device Interface, SPEC.md): one device per base, whose "edits" are our hooks.
 * Engines with CDI then accept a base like any device, without another runtime or annotations.
 */

import { VeneerError } from "../errors.ts";
import type { Store } from "../store/paths.ts";
import { readJournal, writeJournal } from "../store/setup-journal.ts";
import { listBases } from "../store/versions.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { mkdirs, readText, replaceFile, unlinkQuietly } from "../sys/fd.ts";
import { type EngineSetup, ownFile } from "./engine.ts";

const KIND = "veneer.run/base";

/** 0.3.0 introduced hooks and 0.5.0 device names that begin with a digit; podman 4.3 knows 0.5.0. */
const VERSION = "0.5.0";
const JOURNAL = "cdi";

/** How to call a hook. */
export interface HookProgram {
  /** path of the program */
  readonly path: string;
  /** options before the command */
  readonly globals: readonly string[];
}

/** Whether the name of a base is valid for a device, which must end in a letter or digit. */
function isDeviceName(base: string): boolean {
  return /[a-z0-9]$/.test(base);
}

/** The bases whose names are not valid for a CDI device. */
export function namesWithoutDevice(store: Store): string[] {
  return listBases(store).filter((base) => !isDeviceName(base));
}

/** The text of the specification; undefined without bases, because a specification without devices is invalid. */
function devicesFile(bases: readonly string[], { path, globals }: HookProgram): string | undefined {
  const devices = bases.filter(isDeviceName).map((base) => {
    const args = ["veneer", ...globals, "hook", "oci", "--base", base];
    const hooks = ["createRuntime", "poststop"].map((hookName) => ({
      hookName,
      path,
      args,
      env: MINIMAL_ENVIRONMENT,
    }));
    return { name: base, containerEdits: { hooks } };
  });
  if (devices.length === 0) return undefined;
  return `${JSON.stringify({ cdiVersion: VERSION, kind: KIND, devices }, undefined, 2)}\n`;
}

const fileIn = (etc: string) => `${etc}/cdi/veneer.json`;

/** CDI as an engine for `setup`. */
export function cdi(store: Store, program: HookProgram): EngineSetup {
  return {
    name: JOURNAL,
    changes: ({ etc }) => [
      {
        ...ownFile(fileIn(etc), ""),
        add() {
          const text = devicesFile(listBases(store).sort(), program);
          if (text !== undefined) return text;
          throw new VeneerError("NO_BASE", "there is no base to make a device of", {
            hint: "'veneer base import' makes one",
          });
        },
      },
    ],
    restart: "nothing to restart: engines read /etc/cdi when a container asks for a device",
    use: `podman run --device ${KIND}=NAME IMAGE; docker run --device ${KIND}=NAME IMAGE (Docker 25 or later)`,
  };
}

/** Updates the specification to the present bases, if `setup cdi` has written one. Idempotent. */
export function refreshDevices(store: Store, program: HookProgram): void {
  const { files } = readJournal(store, JOURNAL);
  const text = devicesFile(listBases(store).sort(), program);
  for (const { path } of files) {
    if (readText(path) === text) continue;
    if (text === undefined) unlinkQuietly(path);
    else {
      mkdirs(path.slice(0, path.lastIndexOf("/")), 0o755);
      replaceFile(path, text, { mode: 0o644, sync: true });
    }
  }
  if (text === undefined || files.length === 0) return;
  writeJournal(store, JOURNAL, { files: files.map((file) => ({ ...file, after: text })) });
}

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "@decimalturn/toml-patch";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FileChange } from "../../../src/engines/engine.ts";
import { podman } from "../../../src/engines/podman.ts";

let etc: string;
beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), "veneer-unit-"));
  mkdirSync(join(etc, "containers/containers.conf.d"), { recursive: true });
});
afterEach(() => rmSync(etc, { recursive: true }));

const dropIn = () => podman.changes({ etc, bin: "/b" })[0] as FileChange;
const hooks = () => (parse(dropIn().add(undefined)) as { engine: { hooks_dir: string[] } }).engine.hooks_dir;
const write = (name: string, text: string) => writeFileSync(join(etc, "containers", name), text);
const own = () => join(etc, "containers/oci/hooks.d");

describe("podman's drop-in", () => {
  it("adds our directory of hooks to podman's default, which lacks it", () => {
    expect(hooks()).toEqual(["/usr/share/containers/oci/hooks.d", own()]);
    expect(parse(dropIn().add(undefined))).toMatchObject({
      engine: { runtimes: { veneer: ["/b/veneer-runc"] } },
    });
  });

  it("names again what the files before it name, the last of them", () => {
    write("containers.conf", '[engine]\nhooks_dir = ["/opt/a"]\n');
    expect(hooks()).toEqual(["/opt/a", own()]);
    write("containers.conf.d/10-site.conf", `[engine]\nhooks_dir = ["/opt/b", "${own()}"]\n`);
    expect(hooks()).toEqual(["/opt/b", own()]);
  });

  it("is refused when a file after it takes our directory out again, and can be removed then", () => {
    write("containers.conf.d/zz.conf", '[engine]\nhooks_dir = ["/opt/z"]\n');
    expect(() => dropIn().add(undefined)).toThrow(/zz\.conf sets hooks_dir and is read after veneer\.conf/);
    expect(dropIn().remove("")).toBeUndefined();
    write("containers.conf.d/zz.conf", `[engine]\nhooks_dir = ["/opt/z", "${own()}"]\n`);
    expect(hooks()).toContain(own());
  });

  it.each(["[engine", "[engine]\nhooks_dir = 1"])("is refused beside a file that reads %j", (text) => {
    write("containers.conf", text);
    expect(() => dropIn().add(undefined)).toThrow(/containers\.conf is not what the engine expects/);
  });
});

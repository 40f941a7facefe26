/** The small program's C part: on values that a caller, an image or a bundle can have made, with sanitizers and without. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildSmall } from "../../scripts/build-small.mjs";
import { must, PROGRAM, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const dir = mkdtempSync(join(tmpdir(), "veneer-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const EXPECTED = `an argument as bytes: 61ff0aed
a name that is not UTF-8 comes back: 61ff0aed
ill-formed UTF-8: "a\ufffd\ufffdb\ufffd\ufffd\ufffd\u{1f600}\ufffd\ufffd"
a lone surrogate: 61efbfbd62efbfbdf09f9880
a byte order mark: 1,2
fatal on ill-formed UTF-8: TypeError
fatal keeps a written U+FFFD: 1
an errno: -9
a call that does not exist: -38
big integers: 9007199254740992 1099511627776 -22
an unsigned value of 64 bits: -9
an address in a structure: 010203
names as arguments: 61ff0aed c3a9f09f9880 ff80bfc0 efbfbdefbfbd
a name with a NUL: SysError TypeError
wrong arguments: TypeError TypeError RangeError RangeError RangeError TypeError
too many arguments: TypeError
JSON nested without end: SyntaxError
JSON nested deep: nothing
a recursion without end: InternalError
JSON beyond the memory: InternalError
a string beyond the memory: InternalError
memory afterwards: 3`;

// compiling the engine with sanitizers takes minutes: VENEER_SANITIZE=1 npm test -- test/root/host.test.ts
const VARIANTS = [
  { name: "as it is built", sanitize: false },
  ...(process.env.VENEER_SANITIZE === "1" ? [{ name: "with sanitizers", sanitize: true }] : []),
];

describe.each(VARIANTS)("host.c $name", ({ sanitize }) => {
  const program = join(dir, `host-${sanitize}`);

  beforeAll(async () => {
    await buildSmall(program, process.arch, "0", { sanitize, entry: "test/fixtures/host-program.ts" });
  }, 600_000);

  it("passes bytes, numbers and addresses as they are, and turns what is too much into an error", () => {
    // in bash, which hands on any byte
    const text = execFileSync("bash", ["-c", `exec "$1" $'a\\xff\\n\\xed'`, "bash", program], {
      encoding: "utf8",
      // the program ends as it does elsewhere, without giving memory back
      env: { ASAN_OPTIONS: "detect_leaks=0", UBSAN_OPTIONS: "halt_on_error=1" },
    });
    expect(text.trim().split("\n")).toEqual(EXPECTED.split("\n"));
  });
});

/** $1 is the program, $2 a directory of the test's own, $3 a tree, $4 the program as it is built. */
const AT_WORK: Readonly<Record<string, string>> = {
  "a hook that has nothing to do": `echo '{"ociVersion":"1.0.2","id":"c","status":"created","pid":1,"bundle":"/"}' | "$1" hook oci`,
  "a state that is nested without end": `! printf '{"id":"c","annotations":%s' "$(head -c 3000000 /dev/zero | tr '\\0' '[')" | "$1" hook oci`,
  "a state of random bytes": `for i in $(seq 50); do ! head -c 500 /dev/urandom | "$1" hook oci || exit 1; done`,
  "an instance from create to rm": `set -- "$1 --root $2/store --run $2/run" "$2" "$3" "$4 --root $2/store --run $2/run"
    $4 base import small "$3" && $1 create web1 small && $1 mount web1 && $1 ls && $1 ps && $1 umount web1 && $1 rm web1`,
  "the wrapping runtime": `ln -sf veneer "$(dirname "$1")/veneer-runc" && cd "$2" && mkdir -p b/rootfs && cd b && runc spec &&
    for text in '"run.veneer.base":"none"' '"run\\u002eveneer.base":"none"' '"run.veneer.base":"none","run.veneer.base":"none"' '"\\ud800":"run.veneer."'; do
      sed -i "s/^{$/{"annotations":{$(printf %s "$text" | sed 's/[\\&]/\\\\&/g')},/" config.json && ! "$(dirname "$1")/veneer-runc" run -b . c && rm config.json && runc spec || exit 1
    done`,
};

describe.runIf(process.env.VENEER_SANITIZE === "1")(
  "the program with sanitizers does not stumble over",
  () => {
    const program = join(dir, "sanitized/veneer");
    const tree = join(dir, "tree");

    beforeAll(async () => {
      mkdirSync(join(dir, "sanitized"));
      makeTree(tree);
      await buildSmall(program, process.arch, "0", { sanitize: true });
    }, 600_000);

    it.each(Object.entries(AT_WORK))("%s", async (_, script) => {
      const env = { ASAN_OPTIONS: "detect_leaks=0", UBSAN_OPTIONS: "halt_on_error=1" };
      const words = ["bash", program, mkdtempSync(join(dir, "work-")), tree, PROGRAM];
      const { status, stderr } = await sh("bash", ["-c", script, ...words], { env });
      expect(stderr).not.toMatch(/Sanitizer|runtime error/);
      expect(status, stderr).toBe(0);
    });
  },
);

describe("the program", () => {
  const STATE = JSON.stringify({
    ociVersion: "1.0.2",
    id: "c",
    status: "created",
    pid: 1,
    bundle: "/",
    annotations: {},
  });
  const surroundings: Readonly<Record<string, string>> = {
    "an empty environment": 'exec env -i "$1" hook oci',
    "a deleted working directory": 'mkdir "$2/gone" && cd "$2/gone" && rmdir "$2/gone" && exec "$1" hook oci',
    "an address space of 64 MB": 'ulimit -v 65536 && exec "$1" hook oci',
    "a stack of 256 KB": 'ulimit -s 256 && exec "$1" hook oci',
    "no writable and executable memory": `exec python3 -c 'import ctypes, os, sys; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0; os.execv(sys.argv[1], [sys.argv[1], "hook", "oci"])' "$1"`,
    "closed standard output and error": 'exec "$1" hook oci >&- 2>&-',
    "a file system that is all read-only": `exec unshare -m sh -c 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$1" hook oci' sh "$1"`,
  };

  it.each(Object.entries(surroundings))("runs with %s", async (_, script) => {
    expect(await must("bash", ["-c", script, "bash", PROGRAM, dir], { input: STATE })).toBe("");
  });

  it("refuses a state that is nested without end, in one line", async () => {
    const script = `printf '{"id":"c","annotations":%s' "$(head -c 3000000 /dev/zero | tr '\\0' '[')" | "$1" hook oci 2>&1; echo "status $?"`;
    expect(await must("bash", ["-c", script, "bash", PROGRAM])).toMatch(/^veneer: [^\n]+\nstatus 1$/);
  });
});

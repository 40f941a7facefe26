/** Made-up input on the compiled programs: a status, at most one line, no hang, nothing outside of the store. */
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { verbNames } from "../../src/cli/framework/verbs.ts";
import { makeBundle, nextId } from "../../test/helpers/bundle.ts";
import { type Outcome, PROGRAM, storeOptions } from "../../test/helpers/host.ts";
import { ageTemporaries } from "../../test/helpers/leftovers.ts";
import { distOf, HUNG, makeWorld, type World } from "../faults/world.ts";
import { isBareException, isChosen, lineOf, rerun, type Setting, timeIsUp } from "../part.ts";
import * as grammar from "./grammars.ts";

interface Program {
  readonly name: string;
  readonly input: fc.Arbitrary<unknown>;
  run(world: World, input: never): Promise<Outcome>;
}

function on<T>(
  name: string,
  input: fc.Arbitrary<T>,
  run: (world: World, value: T) => Promise<Outcome>,
): Program {
  return { name, input, run };
}

/** Strings as arguments of a program have them. */
const argument = grammar.word.map((text) => text.replaceAll("\0", "").replace(/[\ud800-\udfff]/g, "?"));

/** Verbs that end by themselves, and change nothing outside of the store whatever their words. */
const VERBS = verbNames().filter(
  (name) =>
    !/^(setup|unsetup|hook|runtime|events|unshare|run|exec|bundle|base export|base edit|base share|base update|adopt|completion)$/.test(
      name,
    ),
);

const documents = [
  "instances/web/instance.json",
  "bases/b/base.json",
  "bases/b/versions/1.json",
  "bases/old/versions/2.json",
];

const PROGRAMS: readonly Program[] = [
  on("state of a hook", grammar.jsonText, (world, input) =>
    world.run(PROGRAM, [...world.words, "hook", "oci"], { input }),
  ),
  on("config.json of precreate", fc.oneof(grammar.bundleText, grammar.jsonText), (world, input) =>
    world.run(PROGRAM, [...world.words, "hook", "precreate"], { input }),
  ),
  on("bundle of the wrapping runtime", grammar.bundleText, (world, text) => {
    const bundle = join(world.dir, "work/bundle");
    makeBundle(bundle, "true");
    writeFileSync(join(bundle, "config.json"), text);
    const words = [...world.wrapper, "create", "-b", bundle, nextId()];
    return world.run("env", [`PATH=${world.dir}/observer`, distOf("veneer-runc"), ...words]);
  }),
  on("arguments of the wrapping runtime", fc.array(argument, { maxLength: 5 }), (world, words) =>
    world.run("env", [`PATH=${world.dir}/observer`, distOf("veneer-runc"), ...words]),
  ),
  on("words of hooks", fc.array(argument, { maxLength: 5 }), (world, words) =>
    world.run(
      PROGRAM,
      [...world.words, "hook", "oci", ...words.filter((word) => !/^--?(ro|ru|co)/.test(word))],
      { input: "{}" },
    ),
  ),
  on("configuration of LXC", grammar.lxcText, (world, text) => {
    const file = join(world.dir, "work/lxc-config");
    writeFileSync(file, text);
    const env = [
      `LXC_CONFIG_FILE=${file}`,
      "LXC_NAME=c1",
      "LXC_HOOK_TYPE=pre-mount",
      "LXC_HOOK_SECTION=lxc",
      "LXC_HOOK_VERSION=1",
      `LXC_ROOTFS_MOUNT=${world.dir}/work`,
      `LXC_ROOTFS_PATH=dir:${world.dir}/work`,
    ];
    return world.run("env", [...env, "unshare", "-m", PROGRAM, ...world.words, "hook", "lxc"]);
  }),
  on("configuration", grammar.jsonText, (world, text) => {
    const file = join(world.dir, "work/veneer.json");
    // a log of a made-up name would be written
    writeFileSync(file, text.replace(/"(log|root|run)"/g, '"l"'));
    return world.run(PROGRAM, ["--config", file, ...storeOptions(world.host), "ls"]);
  }),
  on(
    "document of the store",
    fc.tuple(
      fc.constantFrom(...documents),
      grammar.jsonText,
      fc.constantFrom("ls", "ps", "gc", "inspect web", "base ls", "base log b", "df", "tree"),
    ),
    async (world, [name, text, words]) => {
      const file = join(world.host.root, name);
      const before = readFileSync(file);
      // what gc takes for unknown it frees: the layers' names stay known
      writeFileSync(file, text);
      const outcome = await world.veneer(...words.replace("gc", "gc --dry-run").split(" "));
      writeFileSync(file, before);
      return outcome;
    },
  ),
  on(
    "words of verbs",
    fc.tuple(
      fc.constantFrom(...VERBS),
      fc.array(
        fc.oneof(
          { weight: 3, arbitrary: argument },
          {
            weight: 2,
            arbitrary: fc.constantFrom(
              "web",
              "kept",
              "b",
              "b@1",
              "b@2",
              "--json",
              "--dry-run",
              "--force",
              "--help",
              "--keep",
              "1",
            ),
          },
        ),
        { maxLength: 4 },
      ),
    ),
    (world, [verb, words]) =>
      world.run(
        PROGRAM,
        [
          ...world.words,
          ...verb.split(" "),
          ...words.filter((word) => !word.startsWith("/") && !/^(kept)$/.test(word)),
        ],
        { cwd: join(world.dir, "work") },
      ),
  ),
  on("archive", fc.tuple(grammar.tarArchive, fc.boolean()), async (world, [archive, whole]) => {
    const file = join(world.dir, "work/in.tar");
    writeFileSync(file, whole ? archive : archive.subarray(0, archive.length / 2));
    const outcome = await world.veneer("base", "import", "tar", file);
    if (outcome.status === 0) await world.ok("base", "rm", "tar");
    return outcome;
  }),
  on("layout of an image", fc.tuple(grammar.jsonText, fc.boolean()), async (world, [text, index]) => {
    const layout = join(world.dir, "work/layout");
    rmSync(layout, { recursive: true, force: true });
    mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
    writeFileSync(join(layout, "oci-layout"), index ? '{"imageLayoutVersion":"1.0.0"}' : text);
    writeFileSync(join(layout, "index.json"), text);
    return world.veneer("base", "import", "image", `oci:${layout}`);
  }),
];

const WORKERS = 2;

export async function fuzzPrograms(setting: Setting): Promise<void> {
  const programs = PROGRAMS.filter(({ name }) => isChosen(setting, name));
  if (programs.length === 0) return;
  setting.counts.add("kinds of input of the programs", programs.length);
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => fuzzIn(setting, programs, worker)));
}

/** A world of its own, since what is made up may change the store. */
async function fuzzIn(setting: Setting, programs: readonly Program[], worker: number): Promise<void> {
  const { counts } = setting;
  const world = await makeWorld(`fuzz${worker}`);
  const observer = join(world.dir, "observer");
  mkdirSync(observer);
  symlinkSync("/bin/true", join(observer, "runc"));
  const failed = new Set<string>();
  try {
    for (let round = worker; !timeIsUp(setting); round += WORKERS) {
      await world.reset();
      const around = surroundings(world);
      for (const program of programs) {
        if (failed.has(program.name) || timeIsUp(setting)) continue;
        const seed = setting.seed + round;
        for (const input of fc.sample(program.input, { seed, numRuns: 6 })) {
          const wrong = await tryInput(world, program, input);
          counts.add("inputs of the programs");
          if (wrong === undefined) continue;
          failed.add(program.name);
          counts.fault(
            `${program.name} of ${JSON.stringify(input)?.slice(0, 400)}: ${wrong}`,
            rerun({ ...setting, seed }, "fuzz", `--match '${program.name}'`),
          );
          break;
        }
      }
      const beside = surroundings(world).filter((path) => !around.includes(path));
      if (beside.length > 0)
        counts.fault(
          `made outside of the store: ${beside.join(", ")}`,
          rerun({ ...setting, seed: setting.seed + round }, "fuzz"),
        );
      ageTemporaries(world.host);
      const gc = await world.veneer("gc");
      if (gc.status !== 0)
        counts.fault(
          `gc after made-up input: ${gc.stderr.slice(0, 300)}`,
          rerun({ ...setting, seed: setting.seed + round }, "fuzz"),
        );
    }
  } catch (error) {
    counts.fault(`the programs: ${lineOf(error)}`, rerun(setting, "fuzz"));
  } finally {
    await world.remove();
  }
}

/** Names beside the store, and at the root of the machine. */
const surroundings = ({ dir }: World) =>
  [dir, join(dir, "config"), "/", "/etc", "/etc/veneer"].flatMap((path) => {
    try {
      return readdirSync(path).map((name) => join(path, name));
    } catch {
      return [];
    }
  });

async function tryInput(world: World, program: Program, input: unknown): Promise<string | undefined> {
  const { status, stdout, stderr } = await program.run(world, input as never);
  if (status === HUNG) return "it hangs";
  if (status > 2) return `status ${status}: ${stderr.slice(0, 300)}`;
  if (isBareException(stderr)) return stderr.slice(0, 400);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may reach a terminal
  const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
  if (controls.test(stderr) || controls.test(program.name.includes("precreate") ? "" : stdout))
    return `control characters: ${JSON.stringify(stderr.slice(0, 300))}`;
  if (status !== 0 && !/^veneer: /m.test(stderr) && !/"|damaged|\bno\b/.test(stdout))
    return `status ${status} and no line of veneer's: '${stderr.slice(0, 300)}'`;
  return undefined;
}

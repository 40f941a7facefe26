/** A registry of its own on the loopback interface, plain HTTP. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export interface Registry {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** where it keeps blobs, each in a file `data` */
  readonly blobs: string;
  stop(): Promise<void>;
}

/** `at`: the address of one that was stopped, whose images are in `dir`. */
export async function startRegistry(dir: string, at?: string): Promise<Registry> {
  const address = at ?? `127.0.0.1:${await freePort()}`;
  mkdirSync(dir, { recursive: true });
  const config = join(dir, "registry.yml");
  const storage = { filesystem: { rootdirectory: join(dir, "blobs") }, delete: { enabled: true } };
  // JSON is YAML
  writeFileSync(config, JSON.stringify({ version: 0.1, storage, http: { addr: address } }));
  const server = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  await answers(address, server);
  return {
    address,
    blobs: join(dir, "blobs/docker/registry/v2/blobs"),
    stop: () =>
      new Promise((resolve) => {
        server.on("exit", () => resolve());
        server.kill();
      }),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

async function answers(address: string, server: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (server.exitCode !== null) throw new Error(`docker-registry ended with status ${server.exitCode}`);
    try {
      if ((await fetch(`http://${address}/v2/`)).ok) return;
    } catch {
      // not listening yet
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  server.kill();
  throw new Error("docker-registry does not answer");
}

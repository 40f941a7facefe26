// A bounded load on a web server at 127.0.0.1:PORT, until SIGTERM; then prints what it has seen as JSON.
// usage: node load-client.mjs PORT PATH...
// Each of two clients asks for one path after the other, each on a connection of its own, and rests 5 ms.
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const [port, ...paths] = process.argv.slice(2);
const seen = { requests: 0, failures: [], slowest: 0, bodies: {} };
let ended = false;
process.on("SIGTERM", () => {
  ended = true;
});

function ask(path) {
  return new Promise((resolve, reject) => {
    const request = get({ host: "127.0.0.1", port, path, agent: false, timeout: 20_000 }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text) => {
        body += text;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && response.complete) resolve(body);
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer within 20 s")));
    request.on("error", reject);
  });
}

async function client() {
  while (!ended) {
    for (const path of paths) {
      const began = performance.now();
      seen.requests++;
      try {
        const body = await ask(path);
        seen.bodies[body.slice(0, 20)] = (seen.bodies[body.slice(0, 20)] ?? 0) + 1;
      } catch (error) {
        seen.failures.push(`${path}: ${error.message}`);
      }
      seen.slowest = Math.max(seen.slowest, performance.now() - began);
      await sleep(5);
    }
  }
}

process.stdout.write("begun\n");
await Promise.all([client(), client()]);
process.stdout.write(`${JSON.stringify(seen)}\n`);

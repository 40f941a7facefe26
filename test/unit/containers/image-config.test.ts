import { expect, it } from "vitest";
import { readImageConfig } from "../../../src/containers/image-config.ts";

it("reads an image's config, bare or inside its document", () => {
  const config = { Env: ["A=1"], Entrypoint: ["/e"], Cmd: ["c"], User: "web", WorkingDir: "/srv" };
  const read = { env: ["A=1"], command: ["/e", "c"], user: "web", workingDir: "/srv" };
  expect(readImageConfig(config)).toEqual(read);
  expect(readImageConfig({ architecture: "amd64", config })).toEqual(read);
});

it("takes nothing from what is absent, null or of another type", () => {
  const nothing = { env: [], command: [] };
  expect(readImageConfig(undefined)).toEqual(nothing);
  expect(readImageConfig({ config: null })).toEqual(nothing);
  expect(readImageConfig({ Env: null, Entrypoint: "sh", Cmd: [1], User: "", WorkingDir: 3 })).toEqual(
    nothing,
  );
});

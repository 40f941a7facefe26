import { afterAll, expect, it } from "vitest";
import { makeHost } from "../helpers/host.ts";

const host = makeHost();
afterAll(() => host.remove());

it("lists nothing where there is no store", async () => {
  expect(await host.ok("base", "ls", "--json")).toBe("[]");
});

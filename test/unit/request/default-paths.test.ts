/** XDG Base Directory Specification. */
import { describe, expect, it } from "vitest";
import { pathsOfEnvironment } from "../../../src/request/default-paths.ts";

const DEFAULTS = {
  root: "/home/ann/.local/share/veneer",
  run: "/run/user/1000/veneer",
  config: "/home/ann/.config/veneer/config.json",
};

describe("a user's directories by the environment", () => {
  it("are the specification's defaults where it says nothing", () => {
    expect(pathsOfEnvironment(1000, { HOME: "/home/ann" })).toEqual(DEFAULTS);
  });

  it.each(["", "relative", "./x", "~/x"])("ignores %j, which is not absolute", (value) => {
    const env = { HOME: "/home/ann", XDG_DATA_HOME: value, XDG_RUNTIME_DIR: value, XDG_CONFIG_HOME: value };
    expect(pathsOfEnvironment(1000, env)).toEqual(DEFAULTS);
  });

  it("are each where its own variable says", () => {
    const env = { HOME: "/home/ann", XDG_DATA_HOME: "/d/", XDG_RUNTIME_DIR: "/r", XDG_CONFIG_HOME: "/c//" };
    expect(pathsOfEnvironment(1000, env)).toEqual({
      root: "/d/veneer",
      run: "/r/veneer",
      config: "/c/veneer/config.json",
    });
    expect(pathsOfEnvironment(1000, { ...env, XDG_RUNTIME_DIR: undefined }).run).toBe(
      "/run/user/1000/veneer",
    );
  });
});

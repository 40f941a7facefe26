import { describe, expect, it } from "vitest";
import { resolveUser } from "../../../src/containers/user.ts";

const accounts = {
  passwd:
    "# a comment:x:9:9::/:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n1000:x:7:7::/n:/bin/sh\nbroken\n",
  group: "root:x:0:web\nstaff:x:50:web,other\nweb:x:34:web\n",
};

describe("resolveUser", () => {
  it("takes group, further groups and home of a name from the files", () => {
    expect(resolveUser("web", accounts)).toEqual({ uid: 33, gid: 34, additionalGids: [0, 50], home: "/srv" });
  });

  it("finds the entry of a number", () => {
    expect(resolveUser("33", accounts)).toEqual(resolveUser("web", accounts));
  });

  it("takes a number that no file knows", () => {
    expect(resolveUser("5", accounts)).toEqual({ uid: 5, gid: 0, additionalGids: [], home: "/" });
    expect(resolveUser("5:6", { passwd: undefined, group: undefined })).toMatchObject({ uid: 5, gid: 6 });
  });

  it("never takes a number for a name, as Docker does not", () => {
    expect(resolveUser("1000", accounts)).toMatchObject({ uid: 1000, gid: 0 });
    expect(resolveUser("web:9", { ...accounts, group: "9:x:70:\n" }).gid).toBe(9);
  });

  it("takes root where nothing is before the colon, as Docker does", () => {
    expect(resolveUser(":1000", accounts)).toEqual({ uid: 0, gid: 1000, additionalGids: [], home: "/root" });
    expect(resolveUser(":", accounts)).toEqual(resolveUser("root", accounts));
  });

  it("takes entries that have fewer fields than passwd(5) says", () => {
    expect(resolveUser("app", { passwd: "app:x:70\n", group: undefined })).toMatchObject({
      uid: 70,
      gid: 0,
      home: "/",
    });
  });

  it("takes a group by name or number, and no further ones then", () => {
    expect(resolveUser("web:staff", accounts)).toMatchObject({ uid: 33, gid: 50, additionalGids: [] });
    expect(resolveUser("web:7", accounts)).toMatchObject({ gid: 7, additionalGids: [] });
  });

  it("takes the user's own group where the one behind the colon is empty, as Docker does", () => {
    expect(resolveUser("web:", accounts)).toEqual(resolveUser("web", accounts));
    expect(resolveUser("5:", accounts)).toEqual(resolveUser("5", accounts));
  });

  it.each(["nobody", "", "web:nogroup", "a:b:c", "4294967295", "-1"])("refuses %j", (text) => {
    expect(() => resolveUser(text, accounts)).toThrow(/user|group/);
  });
});

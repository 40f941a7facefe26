import { describe, expect, it } from "vitest";
import { VeneerError } from "../../../src/errors.ts";
import { errno, SysError } from "../../../src/sys/errno.ts";
import { explainError, explainMount, explainStore } from "../../../src/sys/explain.ts";

const number = (name: keyof typeof errno) => errno[name] as number;

describe("a failed mount of an overlay", () => {
  it.each<[keyof typeof errno, RegExp]>([
    ["EBUSY", /in use by another overlay/],
    ["ELOOP", /lie inside each other/],
    ["EINVAL", /dmesg/],
    ["ENODEV", /modprobe overlay/],
    ["ENOSYS", /too old/],
    ["EPERM", /CAP_SYS_ADMIN/],
    ["EACCES", /AppArmor, SELinux/],
    ["ENOSPC", /veneer gc/],
    ["EDQUOT", /quota/],
    ["EROFS", /read-only/],
    ["ENOENT", /layer of the base is gone/],
    ["ESTALE", /made on another base/],
    ["E2BIG", /too many layers/],
    ["EOPNOTSUPP", /d_type/],
  ])("with %s says what to do", (name, hint) => {
    expect(explainMount(number(name), 1)).toMatch(hint);
  });

  it("says nothing of an errno that explains itself", () => {
    expect(explainMount(number("EIO"), 1)).toBeUndefined();
  });

  it("takes lack of memory for too many layers where there are many", () => {
    expect(explainMount(number("ENOMEM"), 51)).toBe(explainMount(number("E2BIG"), 1));
    expect(explainMount(number("ENOMEM"), 50)).toBeUndefined();
  });

  it("knows the limit of stacked overlays where an image is below", () => {
    expect(explainMount(number("EINVAL"), 2, true)).toMatch(/run.veneer.rootfs=replace/);
    expect(explainMount(number("EBUSY"), 2, true)).toBe(explainMount(number("EBUSY"), 2));
  });
});

describe("a failed call on the store", () => {
  it.each([
    ["EACCES", /as root/],
    ["EPERM", /as root/],
    ["ENOSYS", /too old/],
    ["ENOSPC", /veneer gc/],
    ["EDQUOT", /quota/],
    ["EROFS", /read-only/],
  ])("with %s says what to do", (code, hint) => {
    expect(explainStore(code)).toMatch(hint);
  });

  it("is explained for system calls alone", () => {
    expect(explainError(new SysError(number("ENOSPC"), "write", "/s/x"))).toMatch(/veneer gc/);
    expect(explainError(new SysError(number("ENOENT"), "open", "/s/x"))).toBeUndefined();
    expect(explainError(new VeneerError("NO_BASE", "no base b"))).toBeUndefined();
  });
});

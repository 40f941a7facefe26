import { expect, it } from "vitest";
import { formatAcl, parseAcl } from "../../../src/tar/posix-acl.ts";

const FULL = "user::rwx,user:7:r--,group::r-x,group:8:-w-,mask::rwx,other::---";

it("is the same after it was read and written", () => {
  expect(formatAcl(parseAcl(FULL) as Uint8Array)).toBe(FULL);
});

it("is put in the kernel's order, and may have comments, lines and the ids of star", () => {
  const text = "other::---\nmask::rwx # effective\nu:daemon:r--:7,u::rwx\ng::r-x,g:8:-w-";
  expect(formatAcl(parseAcl(text) as Uint8Array)).toBe(FULL);
});

it.each(["", "user:name:rwx", "user::rwxt", "who::rwx", "user::rw"])("%j is none", (text) => {
  expect(parseAcl(text)).toBeUndefined();
});

it("formats no value that is not one", () => {
  expect(formatAcl(new Uint8Array(3))).toBeUndefined();
  expect(formatAcl(new Uint8Array([1, 0, 0, 0]))).toBeUndefined();
});

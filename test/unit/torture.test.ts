import { expect, it } from "vitest";
import { missingOperations } from "../../torture/faults/operations.ts";

it("every verb, hook and command of the wrapping runtime has an operation that npm run torture strikes", () => {
  expect(missingOperations()).toEqual([]);
});

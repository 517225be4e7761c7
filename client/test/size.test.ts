// SPDX-License-Identifier: ISC
// The built client stays small: a page pays for it before it shows anything.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

for (const [name, most] of [["jobwire.js", 4096], ["jobwire.global.js", 4128], ["runs.js", 1024]] as const)
  test(`${name} has at most ${most} bytes`, () => {
    const built = readFileSync(new URL(`../../build/client/${name}`, import.meta.url));
    expect(gzipSync(built, { level: 9 }).length).toBeLessThanOrEqual(most);
  });

// A name that scripts/client shortens would be another one there than where it is used, and undefined.
test("values of enums stand where they are used", () => {
  const built = readFileSync(new URL("../../build/client/jobwire.js", import.meta.url), "utf8");
  expect(built).not.toMatch(/\w\[\w+\.\w+ ?= ?[\de]+\]/);
});

// SPDX-License-Identifier: ISC
// The built client stays small: a page pays for it before it shows anything.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

for (const name of ["jobwire.js", "jobwire.global.js"])
  test(`${name} has at most 4 kB`, () => {
    const built = readFileSync(new URL(`../../build/client/${name}`, import.meta.url));
    expect(gzipSync(built, { level: 9 }).length).toBeLessThanOrEqual(4096);
  });

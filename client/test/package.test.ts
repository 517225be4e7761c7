// SPDX-License-Identifier: ISC
// The built folder as others use it: imported where there is no browser, and
// type-checked by pages that are stricter than most.

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const run = promisify(execFile);
const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
const built = fileURLToPath(new URL("../../build/client", import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "jobwire-package-"));
  for (const name of ["18", "19"]) await mkdir(join(folder, name, "node_modules"), { recursive: true });
  const page = `import { subscribe, type JobEvent, type Subscription } from "jobwire";
import { useJobEvents, type JobEvents } from "jobwire/react";
export function follow(id: string, onDone?: (event: JobEvent) => void, url?: string): Subscription {
  return subscribe([id], { onCompleted: onDone, url, ticket: undefined, onState: (state) => state === "open" });
}
export function Progress({ id, onDone }: { id?: string | null; onDone?: () => void }): number | null {
  const events: JobEvents = useJobEvents(id, { onCompleted: onDone });
  return events.progress;
}
// @ts-expect-error: events have no such member
follow("a", ({ name }) => name);
`;
  const render = `import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { subscribe } from "jobwire";
import { useJobEvents } from "jobwire/react";
const Shown = ({ id }) => JSON.stringify(useJobEvents(id, { onCompleted() {} }));
console.log(typeof subscribe, renderToString(createElement(Shown, { id: "a" })));
`;
  for (const [version, suffix] of [["18", "18"], ["19", ""]]) {
    const ours = join(folder, version, "node_modules");
    await cp(built, join(ours, "jobwire"), { recursive: true });
    for (const name of ["react", "react-dom"])
      await cp(join(modules, name + suffix), join(ours, name), { recursive: true });
    for (const name of ["scheduler", "loose-envify", "js-tokens"])
      await symlink(join(modules, name), join(ours, name));
    await writeFile(join(folder, version, "package.json"), '{ "type": "module" }');
    await writeFile(join(folder, version, "page.ts"), page);
    await writeFile(join(folder, version, "render.js"), render);
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(["18", "19"])("with React %s", (version) => {
  test("it renders on a server", async () => {
    const { stdout, stderr } = await run(process.execPath, ["render.js"], { cwd: join(folder, version) });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^function .*connection.*closed/);
  });
});

test.each([
  ["node16", "node16"],
  ["bundler", "es2022"],
])("its types are found and sound: %s", { timeout: 60_000 }, async (resolution, module) => {
  const flags = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipDefaultLibCheck"];
  const where = ["--module", module, "--moduleResolution", resolution, "--target", "es2022", "--lib", "es2022,dom"];
  const tsc = join(modules, "typescript/bin/tsc");
  const checked = run(process.execPath, [tsc, ...flags, ...where, "page.ts"], { cwd: join(folder, "19") });
  expect(await checked.then(() => "", ({ stdout }) => stdout)).toBe("");
});

// SPDX-License-Identifier: ISC
// The packed client as others use it: installed, imported where there is no
// browser, bundled, and type-checked by pages that are stricter than most.

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const run = promisify(execFile);
const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
const built = fileURLToPath(new URL("../../build/client", import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "jobwire-package-"));
  const packed = (await readdir(built)).filter((name) => name.endsWith(".tgz"));
  expect(packed).toEqual([`jobwire-${(await readFile(join(built, "../../VERSION"), "utf8")).trim()}.tgz`]);
  const page = `import { subscribe, type JobEvent, type Subscription } from "jobwire";
import { useJobEvents, type JobEvents } from "jobwire/react";
import { cancel, start } from "jobwire/runs";
export async function restore(id: string, signal?: AbortSignal): Promise<string> {
  const started = await start(id, "restore", { strength: 1 }, { signal, token: undefined });
  if (!started.ok) return started.code;
  const cancelled = await cancel(id);
  return cancelled.ok ? cancelled.status : cancelled.message;
}
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
import { start } from "jobwire/runs";
const Shown = ({ id }) => JSON.stringify(useJobEvents(id, { onCompleted() {} }));
console.log(typeof subscribe, typeof start, renderToString(createElement(Shown, { id: "a" })));
`;
  for (const [version, suffix] of [["18", "18"], ["19", ""]]) {
    const ours = join(folder, version, "node_modules");
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "package.json"), '{ "type": "module" }');
    await run("npm", ["install", "--offline", join(built, packed[0])], { cwd: join(folder, version) });
    for (const name of ["react", "react-dom"])
      await cp(join(modules, name + suffix), join(ours, name), { recursive: true });
    for (const name of ["scheduler", "loose-envify", "js-tokens"])
      await symlink(join(modules, name), join(ours, name));
    await writeFile(join(folder, version, "page.ts"), page);
    await writeFile(join(folder, version, "render.js"), render);
  }
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

describe.each(["18", "19"])("with React %s", (version) => {
  test("it renders on a server", async () => {
    const { stdout, stderr } = await run(process.execPath, ["render.js"], { cwd: join(folder, version) });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^function .*connection.*closed/);
  });
});

test("it brings what a registry shows, and the plain script", async () => {
  const inside = join(folder, "19/node_modules/jobwire");
  const manifest = JSON.parse(await readFile(join(inside, "package.json"), "utf8"));
  expect(manifest).not.toHaveProperty("private");
  expect(manifest.description.length).toBeGreaterThan(20);
  expect(await readFile(join(inside, "README.md"), "utf8")).toMatch(/^# jobwire\n/);
  const code = 'await import("jobwire/global"); console.log(typeof jobwire.subscribe)';
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: join(folder, "19") });
  expect(stdout.trim()).toBe("function");
});

describe("the hook's module", () => {
  const inside = () => join(folder, "19/node_modules/jobwire/useJobEvents.js");

  test("is found by node", async () => {
    const code = 'console.log(import.meta.resolve("jobwire/react"))';
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: join(folder, "19") });
    expect(fileURLToPath(stdout.trim())).toBe(inside());
  });

  test("is found by a bundler", async () => {
    const { metafile } = await build({
      absWorkingDir: join(folder, "19"),
      entryPoints: ["page.ts"],
      bundle: true,
      format: "esm",
      external: ["react"],
      metafile: true,
      write: false,
      outdir: "out",
    });
    const names = ["page.ts", ...["jobwire", "runs", "useJobEvents"].map((name) => `node_modules/jobwire/${name}.js`)];
    expect(Object.keys(metafile.inputs).sort()).toEqual(names.sort());
  });

  test("begins with the directive that makes it the browser's, for Next.js", async () => {
    const source = ts.createSourceFile("module.js", await readFile(inside(), "utf8"), ts.ScriptTarget.ES2022);
    expect(source.statements[0].getText(source)).toBe('"use client";');
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

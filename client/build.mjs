// SPDX-License-Identifier: ISC
// usage: node build.mjs    (by `make client`)
// Checks the types and writes the client into build/client: for modules, for a
// plain <script>, what starts jobs, the React hook, their types, and all of it
// packed for npm.

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const here = fileURLToPath(new URL(".", import.meta.url));
process.chdir(here);
const out = "../build/client";
const banner = "/* jobwire, ISC */";

rmSync(out, { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["--project", "."], { stdio: "inherit" });
for (const name of ["jobwire", "runs", "useJobEvents"]) copyFileSync(`${out}/types/${name}.d.ts`, `${out}/${name}.d.ts`);
rmSync(`${out}/types`, { recursive: true });

// Names that one object says to another inside the client. What goes from tab to tab keeps its name:
// another tab may have loaded another build.
const inner = (
  "carried changed delay forget isAlone isPolling job look onEnd onRefused options poke queue remove " +
  "say seen server stop stream tell timer tracks want"
).split(" ");

/** esbuild puts the modules together, terser makes them small: it also inlines what is called once. */
async function bundle(entry, name, options) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    write: false,
    mangleProps: new RegExp(`^(${inner.join("|")})$`),
    target: "es2022",
    legalComments: "none",
    ...options,
  });
  const { code } = await minify(outputFiles[0].text, { module: true, compress: { passes: 2, directives: false } });
  writeFileSync(`${out}/${name}.js`, `${banner}\n${code}\n`);
}
await bundle("src/jobwire.ts", "jobwire", { format: "esm" });
await bundle("src/runs.ts", "runs", { format: "esm" });
await bundle("src/global.ts", "jobwire.global", { format: "iife" });
await bundle("src/useJobEvents.ts", "useJobEvents", { format: "esm", external: ["react", "./jobwire.js"] });

const { version, license, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync("package.json", "utf8"));
const entry = (name) => ({ types: `./${name}.d.ts`, default: `./${name}.js` });
const manifest = {
  name: "jobwire",
  version,
  license,
  type: "module",
  sideEffects: false,
  exports: { ".": entry("jobwire"), "./runs": entry("runs"), "./react": entry("useJobEvents") },
  peerDependencies,
  peerDependenciesMeta,
};
writeFileSync(`${out}/package.json`, JSON.stringify(manifest, null, 2) + "\n");
execFileSync("npm", ["pack", "--silent"], { cwd: out, stdio: ["ignore", "ignore", "inherit"] });

// SPDX-License-Identifier: ISC
// usage: node build.mjs    (by `make client`)
// Checks the types and writes the client into build/client: for modules, for a
// plain <script>, the React hook, their types, and a package.json that lets
// npm install the folder.

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
process.chdir(here);
const out = "../build/client";
const banner = "/* jobwire, ISC */";

rmSync(out, { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["--project", "."], { stdio: "inherit" });
for (const name of ["jobwire", "useJobEvents"]) copyFileSync(`${out}/types/${name}.d.ts`, `${out}/${name}.d.ts`);
rmSync(`${out}/types`, { recursive: true });

// Names that one object says to another inside the client. What goes from tab to tab keeps its name:
// another tab may have loaded another build.
const inner = (
  "carried changed delay forget isAlone job onEnd onRefused options poke queue remove say seen server stop stream " +
  "streamAgain tell timer tracks want"
).split(" ");

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${inner.join("|")})$`),
  target: "es2022",
  legalComments: "none",
  banner: { js: banner },
};
await build({ ...common, entryPoints: ["src/jobwire.ts"], outfile: `${out}/jobwire.js`, format: "esm" });
await build({
  ...common,
  entryPoints: ["src/global.ts"],
  outfile: `${out}/jobwire.global.js`,
  format: "iife",
});
await build({
  ...common,
  entryPoints: ["src/useJobEvents.ts"],
  outfile: `${out}/useJobEvents.js`,
  format: "esm",
  external: ["react", "./jobwire.js"],
});

const { version, license, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync("package.json", "utf8"));
const entry = (name) => ({ types: `./${name}.d.ts`, default: `./${name}.js` });
const manifest = {
  name: "jobwire",
  version,
  license,
  type: "module",
  sideEffects: false,
  exports: { ".": entry("jobwire"), "./react": entry("useJobEvents") },
  peerDependencies,
  peerDependenciesMeta,
};
writeFileSync(`${out}/package.json`, JSON.stringify(manifest, null, 2) + "\n");

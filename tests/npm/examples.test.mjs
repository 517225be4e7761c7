// SPDX-License-Identifier: ISC
// The packed client as a site gets it: installed from its file into each of
// examples/, with what else that names from the npm registry, built there, and
// driven in Chromium in front of a real stack. And what else needs the registry.
// `make check-npm`; not part of `make check`, because it downloads for minutes.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Stack, freePort, newContext, patience, startBrowser, until } from "../browser/stack.mjs";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

let browser, stack, folder, packed;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "jobwire-npm-"));
  const built = join(root, "build/client");
  packed = join(built, (await readdir(built)).find((name) => name.endsWith(".tgz")));
  browser = await startBrowser();
  stack = await Stack.start();
});
after(async () => {
  await stack?.close();
  await browser?.close();
  await rm(folder, { recursive: true });
});

/** Passes a request on, and its answer back as it comes. */
function pass(port, ours, answer) {
  const { method, url, headers } = ours;
  const theirs = request({ host: "127.0.0.1", port, method, path: url, headers }, (response) => {
    answer.writeHead(response.statusCode, response.headers);
    response.pipe(answer);
  });
  theirs.on("error", () => answer.destroy());
  answer.on("close", () => theirs.destroy());
  ours.pipe(theirs);
}

/** One origin, as a site's web server makes it: the API is the stack's, all else the example's. */
async function serve(site) {
  const server = createServer(async (ours, answer) => {
    const { pathname } = new URL(ours.url, "http://site");
    if (pathname.startsWith("/api/v1/")) return pass(new URL(stack.page).port, ours, answer);
    if (site.port) return pass(site.port, ours, answer);
    const path = join(site.folder, normalize(pathname === "/" ? "/index.html" : pathname));
    if (!(await stat(path).catch(() => null))) return answer.writeHead(404).end();
    answer.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" });
    createReadStream(path).pipe(answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** A program of npm's in the folder, to its good end; what it says. */
async function npm(cwd, ...words) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", REDOCLY_TELEMETRY: "off" };
  const { stdout, stderr } = await run("npm", [...words.slice(0, 1), "--no-audit", "--no-fund", "--loglevel=error", ...words.slice(1)], {
    cwd,
    env,
    maxBuffer: 1 << 24,
  }).catch((error) => assert.fail(`npm ${words.join(" ")}: ${error.stdout}${error.stderr}`));
  return stdout + stderr;
}

async function install(name) {
  const where = join(folder, name);
  await cp(join(root, "examples", name), where, { recursive: true });
  await npm(where, "install", packed);
  await npm(where, "run", "build");
  return where;
}

/** Opens a page and does something with it, of which it complains nowhere. */
async function visit(server, path, act) {
  const context = await newContext(browser);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("response", (response) => {
    if (response.status() >= 400 && !response.url().endsWith("/favicon.ico"))
      complaints.push(`${response.status()} ${response.url()}`);
  });
  await page.goto(`http://127.0.0.1:${server.address().port}/${path}`);
  await act(page);
  await context.close();
  assert.deepEqual(complaints.filter((text) => !/favicon|404 \(Not Found\)/.test(text)), []);
}

/** The page follows a job from its first event to its end. */
async function drive(server, job) {
  await stack.publish("processing", {}, job);
  await visit(server, `?job=${job}`, async (page) => {
    const shows = (status) => page.locator("output", { hasText: new RegExp(`^${status}$`) }).waitFor();
    await shows("processing");
    await stack.publish("progress", { progress: 40 }, job);
    await page.waitForFunction(() => document.querySelector("progress").value === 40);
    await stack.publish("completed", { output: "whole" }, job);
    await shows("completed");
  });
}

for (const name of ["html", "react", "vue", "svelte"])
  test(`${name} is installed, built and follows a job`, { timeout: patience(300_000) }, async () => {
    const server = await serve({ folder: join(await install(name), "dist") });
    try {
      await drive(server, `job-${name}`);
    } finally {
      server.close();
    }
  });

/** The page of photos starts jobs, follows them to their ends, cancels one, and forgets none. */
async function restorePhotos(page) {
  const photo = { name: "old.png", mimeType: "image/png", buffer: await page.screenshot() };
  const photos = page.getByRole("listitem");
  const shows = (n, status) => photos.nth(n).locator("output", { hasText: new RegExp(`^${status} *$`) }).waitFor();
  const order = async () => {
    await page.setInputFiles("[name=photo]", photo);
    await page.getByRole("button", { name: "Restore" }).click();
  };
  const showsRestored = async (n) => {
    await shows(n, "completed");
    const image = photos.nth(n).getByAltText("old.png, restored");
    await image.waitFor();
    const size = await image.evaluate((image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight]));
    assert.deepEqual(size, [320, 240]);
  };
  await order();
  await page.locator("progress:not([value='0'])").waitFor();
  await showsRestored(0);
  await order();
  await photos.nth(0).getByRole("button", { name: "Cancel" }).click();
  await shows(0, "cancelled");
  for (const again of [() => page.getByRole("button", { name: "Refresh" }).click(), () => page.reload()]) {
    await again();
    await shows(0, "cancelled");
    await showsRestored(1);
  }
  await page.evaluate(() => localStorage.setItem("photos", "[{"));
  await page.reload();
  await page.getByRole("button", { name: "Refresh" }).waitFor();
  assert.equal(await photos.count(), 0);
}

test("restore is installed, built, and restores photos", { timeout: patience(300_000) }, async () => {
  const where = await install("restore");
  const server = await serve({ folder: join(where, "dist") });
  const port = await freePort();
  const dev = spawn("node_modules/.bin/vite", ["--host", "127.0.0.1", "--port", String(port), "--strictPort"], {
    cwd: where,
    env: { ...process.env, JOBWIRE_URL: new URL(stack.page).origin },
    stdio: "ignore",
  });
  try {
    await visit(server, "", restorePhotos);
    // In development, too, jobwire is where the page is.
    const answer = await until(
      () => fetch(`http://127.0.0.1:${port}/api/v1/jobs/nobody-has-it`).catch(() => null),
      "vite to listen",
    );
    assert.equal((await answer.json()).error.code, "unknown_job");
  } finally {
    server.close();
    dev.kill();
  }
});

test("next is installed, built, rendered on a server and follows a job", { timeout: patience(300_000) }, async () => {
  const where = await install("next");
  const port = await freePort();
  const next = spawn("node_modules/.bin/next", ["start", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: where,
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
    stdio: "ignore",
  });
  const server = await serve({ port });
  try {
    const page = () => fetch(`http://127.0.0.1:${port}/`).then((answer) => answer.text(), () => "");
    const rendered = await until(page, "Next.js to answer");
    assert.match(rendered, /<output>…<\/output>/);
    await drive(server, "job-next");
  } finally {
    server.close();
    next.kill("SIGTERM");
    if (next.exitCode === null && next.signalCode === null) await once(next, "exit");
  }
});

test("what sites publish with has types for strict readers", { timeout: patience(120_000) }, async () => {
  const where = join(folder, "publish");
  await mkdir(where);
  const page = `import { connect, JobwireError } from "jobwire-publish";
export async function done(job: string, key?: string): Promise<string | null> {
  const jw = connect("https://h.example/api/v1", { key, timeout: 3 });
  try {
    const { webhook_url } = await jw.register(job, { owner: "alice", restoreId: undefined });
    await jw.start(job, "restore", { url: webhook_url }, { policy: '{"ttl":60000}' });
    return await jw.publish(job, "completed", { output: 1 }, { idempotencyKey: job });
  } catch (error) {
    if (error instanceof JobwireError && error.status === 409) return error.code;
    throw error;
  }
}
// @ts-expect-error: data are an object
connect("a").publish("job", "step", 1);
`;
  await writeFile(join(where, "package.json"), '{ "type": "module" }');
  await writeFile(join(where, "page.ts"), page);
  const file = (await npm(join(root, "publish/node"), "pack", "--silent", "--pack-destination", where)).trim();
  await npm(where, "install", join(where, file), "typescript@5.9.3");
  for (const [resolution, module] of [["node16", "node16"], ["bundler", "es2022"]]) {
    const flags = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--module", module];
    await npm(where, "exec", "--", "tsc", ...flags, "--moduleResolution", resolution, "page.ts");
  }
});

test("the documents of the calls and the streams pass a linter", { timeout: patience(120_000) }, async () => {
  const where = join(folder, "lint");
  await mkdir(where);
  await npm(where, "install", "@redocly/cli@2.77.0");
  for (const name of ["openapi", "asyncapi"]) {
    const said = await npm(where, "exec", "--", "redocly", "lint", join(root, `docs/${name}.yaml`));
    assert.match(said, /is valid/);
    assert.doesNotMatch(said, /You have \d+ warning/);
  }
});

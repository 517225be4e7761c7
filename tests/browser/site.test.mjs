// SPDX-License-Identifier: ISC
// The pages of the documentation in Chromium, from the disk and below a path of
// a server: nothing is asked of another host, the search finds, and they fit a
// phone. JOBWIRE_SHOTS=FOLDER keeps pictures of them.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { newContext, patience, startBrowser } from "./stack.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(join(root, "client/package.json"));
const axe = await readFile(require.resolve("axe-core"), "utf8");
const run = promisify(execFile);
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
const PAGES = ["index.html", "README.html", "docs/migrate.html", "docs/openapi.html", "man/jobwire.1.html",
  "source/examples/sites.html", "search.html"];

let browser, folder, server, places, reason;

before(async () => {
  try {
    await run("/usr/bin/python3", ["-c", "import furo, myst_parser, yaml"]);
    await run("sh", ["-c", "command -v mandoc && command -v esbuild"]);
  } catch {
    reason = "no furo, MyST, mandoc or esbuild: make deps G=site";
    return;
  }
  folder = await mkdtemp(join(tmpdir(), "jobwire-site-"));
  await run(join(root, "scripts/site"), [join(folder, "site")], { timeout: patience(120_000) });
  server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://localhost").pathname.replace(/^\/below\/a\/path\//, "");
    const body = await readFile(join(folder, "site", path)).catch(() => null);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  places = [
    pathToFileURL(join(folder, "site/")).href,
    `http://127.0.0.1:${server.address().port}/below/a/path/`,
  ];
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  server?.close();
  if (folder) await rm(folder, { recursive: true });
});

/** A test of each place where the pages may be. */
function everywhere(name, body) {
  for (const [n, what] of ["from the disk", "below a path of a server"].entries())
    test(`${name}, ${what}`, (t) => (reason ? t.skip(reason) : body(places[n], t)));
}

/** A page, and in `asked` what it asks for and in `failed` what it does not get. */
async function open(place, path, options = {}) {
  const context = await newContext(browser, options);
  const page = await context.newPage();
  const asked = [], failed = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("requestfailed", (request) => failed.push(request.url()));
  page.on("response", (response) => response.status() >= 400 && failed.push(response.url()));
  page.on("pageerror", (error) => failed.push(String(error)));
  await page.goto(place + path, { waitUntil: "load" });
  return { page, context, asked, failed };
}

everywhere("every request stays where the pages are", async (place) => {
  for (const path of PAGES) {
    const { context, asked, failed } = await open(place, path);
    assert.ok(asked.length > 3, path);
    assert.deepEqual(asked.filter((url) => !url.startsWith(place) && !url.startsWith("data:")), [], path);
    assert.deepEqual(failed, [], path);
    await context.close();
  }
});

everywhere("the search finds a setting in its manual", async (place) => {
  const { page, context, asked } = await open(place, "docs/operate.html");
  await page.getByRole("textbox").first().fill("keep_progress");
  await page.keyboard.press("Enter");
  const found = page.getByRole("link", { name: "jobwire.conf(5)" }).and(page.locator("#search-results a"));
  await found.waitFor();
  await found.click();
  await page.getByRole("heading", { name: "jobwire.conf(5)" }).waitFor();
  assert.equal(await page.locator(".highlighted").count(), 0); // it would stay on all pages
  assert.deepEqual(asked.filter((url) => !url.startsWith(place) && !url.startsWith("data:")), []);
  await context.close();
});

for (const colorScheme of ["light", "dark"])
  for (const viewport of [{ width: 1440, height: 1000 }, { width: 390, height: 844 }])
    test(`pages fit ${viewport.width} pixels, ${colorScheme}`, async (t) => {
      if (reason) return t.skip(reason);
      for (const path of PAGES) {
        const { page, context } = await open(places[0], path, { viewport, colorScheme, reducedMotion: "reduce" });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} is too wide`);
        const [red] = await page.evaluate(() =>
          getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
        assert.ok(colorScheme === "dark" ? red < 64 : red > 192, `${path}: ${red}`);
        if (process.env.JOBWIRE_SHOTS)
          await page.screenshot({
            path: join(process.env.JOBWIRE_SHOTS, `site-${path.replaceAll("/", "-")}-${viewport.width}-${colorScheme}.png`),
          });
        await context.close();
      }
    });

test("the reader may choose light or dark", async (t) => {
  if (reason) return t.skip(reason);
  const { page, context } = await open(places[0], "index.html", { colorScheme: "light" });
  const theme = () => page.evaluate(() => document.body.dataset.theme);
  const seen = [await theme()];
  for (const _ of "12") {
    await page.locator(".theme-toggle:visible").click();
    seen.push(await theme());
  }
  assert.deepEqual(seen.sort(), ["auto", "dark", "light"]);
  await context.close();
});

test("axe finds nothing serious", async (t) => {
  if (reason) return t.skip(reason);
  for (const colorScheme of ["light", "dark"]) {
    const { page, context } = await open(places[0], "index.html", { colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
    await context.close();
  }
});

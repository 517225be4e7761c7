// SPDX-License-Identifier: ISC
// A second nginx before a stack's responders, which a test can stop, start, and
// make misbehave, with a relay before it that can let connections die unseen. It
// also serves the built client and the pages of the tests.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { freePort, until } from "./stack.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const pages = join(root, "tests/browser/pages");
const { build } = createRequire(join(root, "client/package.json"))("esbuild");

/** Changes to the shipped configuration, by name. */
const MODES = {
  normal: (text) => text,
  /** All that is read is refused, by a proxy in between that knows nothing of streams. */
  unavailable: (text) =>
    text.replace(/fastcgi_pass jobwire_events;/g, "return 503;").replace("error_page 502 503 504 = @later;", ""),
  /** A proxy in between that passes nothing on until it has a lot. */
  buffering: (text) =>
    text
      .replace("fastcgi_buffering off;", "fastcgi_buffering on; fastcgi_ignore_headers X-Accel-Buffering;")
      .replace("fastcgi_buffer_size 1k;", "fastcgi_buffer_size 64k; fastcgi_buffers 8 64k;"),
};

export class Front {
  constructor(stack, site, port) {
    Object.assign(this, { stack, site, port, streams: new Set() });
    this.relay = createServer((client) => this.pass(client));
  }

  pass(client) {
    const server = connect(this.port, "127.0.0.1");
    const pair = [client, server];
    server.on("data", (head) => {
      if (head.includes("text/event-stream")) this.streams.add(pair);
    });
    for (const [from, to] of [pair, [server, client]])
      from.on("error", () => {}).on("close", () => {
        this.streams.delete(pair);
        to.destroy();
      }).pipe(to);
  }

  /** From now on nothing comes through the streams that are open, and nobody is told. */
  freezeStreams() {
    for (const [client, server] of this.streams) {
      server.unpipe(client);
      server.resume();
    }
  }

  static async start(stack, mode = "normal") {
    const site = join(stack.folder, "site");
    await mkdir(site);
    for (const name of await readdir(join(root, "build/client")))
      await copyFile(join(root, "build/client", name), join(site, name));
    await copyFile(join(pages, "plain.html"), join(site, "plain.html"));
    for (const version of ["", "18"]) await bundle(site, version);
    const front = new Front(stack, site, await freePort());
    front.relay.listen(0, "127.0.0.1");
    await once(front.relay, "listening");
    front.origin = `http://127.0.0.1:${front.relay.address().port}`;
    await front.up(mode);
    return front;
  }

  async up(mode = "normal") {
    const folder = join(this.stack.folder, "var");
    const shipped = await readFile(join(folder, "nginx.conf"), "utf8");
    const text = shipped
      .replace(/listen 127\.0\.0\.1:\d+/, `listen 127.0.0.1:${this.port}`)
      .replace(/^pid .*?;/m, "pid run/front.pid;")
      .replace("log/jobwire.log", "log/front.log")
      .replace("root demo;", `root ${this.site};`);
    await writeFile(join(folder, "front.conf"), MODES[mode](text));
    this.process = spawn("nginx", ["-p", ".", "-c", "front.conf", "-g", "daemon off;"], {
      cwd: folder, // its paths are relative
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.errors = "";
    this.process.stderr.on("data", (text) => (this.errors += text));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(this.errors);
      return fetch(`${this.origin}/useJobEvents.js`).then((r) => r.ok, () => false);
    }, "nginx to answer");
  }

  async close() {
    await this.down();
    this.relay.close();
  }

  async down() {
    if (this.process.exitCode !== null) return;
    this.process.kill("SIGTERM");
    await once(this.process, "exit");
  }

  /** The value of a gauge of the responders. */
  async gauge(name) {
    const text = await (await fetch(new URL("/metrics", this.stack.page))).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)[1]);
  }
}

/** The React page with this version of React: "" is the newest. */
async function bundle(site, version) {
  await build({
    entryPoints: [join(pages, "react.jsx")],
    outfile: join(site, `react${version}.js`),
    bundle: true,
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
    nodePaths: [join(root, "client/node_modules")],
    alias: {
      "jobwire/react": join(root, "build/client/useJobEvents.js"),
      ...(version && { react: `react${version}`, "react-dom": `react-dom${version}` }),
    },
    logLevel: "error",
  });
  const head = '<!doctype html><meta charset="utf-8"><title>jobs</title><link rel="icon" href="data:,">';
  const html = `${head}<div id="root"></div><script src="react${version}.js"></script>`;
  await writeFile(join(site, `react${version}.html`), html);
}

// SPDX-License-Identifier: ISC
// Everything that a browser test runs against: scripts/run on a free port and a
// folder of its own, and Chromium. Both are gone after close().

import { spawn, execFile } from "node:child_process";
import { createRequire } from "node:module";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { chromium } = createRequire(join(root, "client/package.json"))("playwright-core");
const bin = process.env.JOBWIRE_BIN ?? join(root, "build/bin");
const run = promisify(execFile);

/**
 * So many milliseconds of an idle machine on this one. A deadline only ends a wait in vain, so each is
 * a multiple of what is needed, of which JOBWIRE_SLOW is the factor.
 */
export const patience = (milliseconds) => milliseconds * Number(process.env.JOBWIRE_SLOW ?? 5);

/**
 * Looks again until condition() is true; fails with `what` when it never is. It must be one that stays
 * true: what is true for a moment only can be missed.
 */
export async function until(condition, what, milliseconds = 20_000) {
  const end = Date.now() + patience(milliseconds);
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
    await pause(20);
  }
}

/**
 * A port that nobody listens on. Not one of those that the kernel gives to clients: one of them could take it
 * before the server does that it is for.
 */
export async function freePort() {
  const range = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "ascii");
  const end = Math.max(Number.parseInt(range, 10), 10_100);
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * (end - 10_000));
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** The running stack: `page` and `completes` are what scripts/run printed for its fresh job. */
export class Stack {
  static async start(environment = {}) {
    const stack = new Stack();
    stack.environment = { ...process.env, ...environment };
    stack.folder = await mkdtemp(join(tmpdir(), "jobwire-browser-"));
    const ready = join(stack.folder, "ready");
    const flags = ["--port", await freePort(), "--var", join(stack.folder, "var"), "--bin", bin, "--ready-file", ready];
    stack.process = spawn(join(root, "scripts/run"), flags, {
      env: stack.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    stack.output = "";
    for (const stream of [stack.process.stdout, stack.process.stderr])
      stream.on("data", (text) => (stack.output += text));
    const message = await until(async () => {
      if (stack.process.exitCode !== null) throw new Error(stack.output);
      return readFile(ready, "utf8").catch(() => null);
    }, "scripts/run to be ready");
    stack.page = /^ *(http:\S+)$/m.exec(message)[1];
    stack.job = new URL(stack.page).searchParams.get("job");
    stack.completes = /^ *(\S*\/complete .*)$/m.exec(message)[1];
    return stack;
  }

  /** Executes the printed command as it was printed; the last line of its output, which is the answer. */
  async complete() {
    return (await run("bash", ["-c", this.completes])).stdout.trim().split("\n").at(-1);
  }

  /** Commits an event by the command line. */
  async publish(type, data, job = this.job) {
    await this.command("publish", job, type, JSON.stringify(data));
  }

  /** The output of the command line. */
  async command(...words) {
    const config = join(this.folder, "var/jobwire.conf");
    return (await run(join(bin, "jobwire"), [...words, "--config", config], { env: this.environment })).stdout;
  }

  async pidOf(program) {
    return Number(await readFile(join(this.folder, "var/run", `${program}.pid`), "utf8"));
  }

  /** Kills a responder, which is not started again before revive(). */
  async kill(program) {
    this.process.kill("SIGSTOP");
    process.kill(await this.pidOf(program), "SIGKILL");
  }

  revive() {
    this.process.kill("SIGCONT");
  }

  async close() {
    if (this.process.exitCode === null) {
      this.revive();
      this.process.kill("SIGTERM");
      await once(this.process, "exit");
    }
    await rm(this.folder, { recursive: true });
  }
}

/** As the browser's newContext(), but as patient as until(). */
export async function newContext(browser, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience(20_000));
  return context;
}

const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // For all pages are ours; its sandbox needs namespaces, and another user than root.
  "--no-sandbox",
];
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Chromium, headless, that asks nothing of the world outside. All its tabs think that they are visible. */
export async function startBrowser() {
  return chromium.launch({
    executablePath,
    // Users' browsers keep pages for the Back button.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: FLAGS,
  });
}

/**
 * Chromium with one window, of which one tab is visible, as at a user's: the others are hidden, and
 * their timers slowed down to one a minute, seconds after and not minutes. It ends with its one context.
 */
export async function startWindow() {
  const folder = await mkdtemp(join(tmpdir(), "jobwire-chromium-"));
  const flags = [
    "--headless",
    "--remote-debugging-port=0",
    `--user-data-dir=${folder}`,
    "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1",
    "about:blank",
  ];
  const child = spawn(executablePath, [...FLAGS, ...flags], { stdio: "ignore" });
  const port = await until(async () => {
    if (child.exitCode !== null) throw new Error(`Chromium ended with ${child.exitCode}`);
    const text = await readFile(join(folder, "DevToolsActivePort"), "utf8").catch(() => "");
    return /^\d+(?=\n)/.exec(text)?.[0];
  }, "Chromium to listen");
  const browser = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
  const [context] = browser.contexts();
  context.close = async () => {
    await browser.close();
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    await rm(folder, { recursive: true, maxRetries: 5 });
  };
  /** The processes that run pages. */
  const renderers = async () => {
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    await session.detach();
    return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  };
  return { newContext: async () => context, renderers };
}

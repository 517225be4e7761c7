// SPDX-License-Identifier: ISC
// What the client's tests play in: a stack, the nginx before it that can be
// broken, and tabs of one browser, which the tests' pages are shown in.

import assert from "node:assert/strict";

import { Front } from "./front.mjs";
import { Stack, newContext, until } from "./stack.mjs";

// Short, to wait less; the pages are told of the heartbeat.
export const SETTINGS = {
  JOBWIRE_RUN_RESPAWN: "1",
  JOBWIRE_RETRY_MIN: "500ms",
  JOBWIRE_RETRY_MAX: "1s",
  JOBWIRE_HEARTBEAT: "3s",
};
export const HEARTBEAT_MS = 3000;

// What a page of plain.html has seen.
export const got = (tab) => tab.evaluate("got");
export const states = (tab) => tab.evaluate("states");
export const stateOf = (tab) => tab.evaluate("subscription.state");
export const untilState = (tab, state) => until(async () => (await stateOf(tab)) === state, `a tab to be ${state}`);
export const untilGot = (tab, n) => until(async () => (await got(tab)).length >= n, `${n} events in a tab`);
/** For as long as a fault lasts no tab is open again. */
export const untilCut = (tabs) =>
  until(async () => !(await Promise.all(tabs.map(stateOf))).includes("open"), "the tabs to notice");
export const numbers = (events, job) => events.filter((event) => event.jobId === job).map(({ type, n }) => n ?? type);
export const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

export class Scene {
  /** `query` is for the pages of follow(). */
  static async start(browser, settings = {}) {
    const scene = Object.assign(new Scene(), { browser, jobs: 0, query: "" });
    scene.stack = await Stack.start({ ...SETTINGS, ...settings });
    scene.front = await Front.start(scene.stack);
    await scene.renew();
    return scene;
  }

  /** No tab is open, and nothing is left of those that were. */
  async renew() {
    await this.context?.close();
    await until(async () => (await this.openStreams()) === 0, "the streams of closed pages to end");
    this.context = await newContext(this.browser);
  }

  async close() {
    await this.context?.close();
    await this.front?.close();
    await this.stack?.close();
  }

  newJob = () => `job-${++this.jobs}`;
  openStreams = () => this.front.gauge("jobwire_streams_open");
  publish = (job, type, data = {}) => this.stack.publish(type, data, job);

  /** A tab with what it asked of the server (without its own files) and wrote to the console. */
  openTab = async (path) => {
    const tab = await this.context.newPage();
    tab.requests = [];
    tab.lines = [];
    tab.on("request", (request) => {
      if (new URL(request.url()).pathname.startsWith("/api/")) tab.requests.push(request.url());
    });
    tab.on("console", (message) => {
      // React praises its tools.
      if (!message.text().startsWith("%c")) tab.lines.push(message.text());
    });
    tab.on("pageerror", (error) => tab.lines.push(`error: ${error}`));
    await tab.goto(`${this.front.origin}/${path}`);
    return tab;
  };

  follow = (...ids) =>
    this.openTab(`plain.html?heartbeat=${HEARTBEAT_MS}${this.query}${ids.map((id) => `&job=${id}`).join("")}`);

  /** Two tabs follow a new job through a fault: what comes meanwhile, and its end, arrives once and in order. */
  async survives(breakIt, mendIt) {
    const job = this.newJob();
    const tabs = [await this.follow(job), await this.follow(job)];
    for (const tab of tabs) await untilState(tab, "open");
    await this.publish(job, "processing", { n: 1 });
    for (const tab of tabs) await untilGot(tab, 1);
    await breakIt(tabs);
    for (const n of [2, 3, 4, 5]) await this.publish(job, "processing", { n });
    await this.publish(job, "completed");
    await mendIt(tabs);
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, 2, 3, 4, 5, "completed"]);
      assert.deepEqual(tab.lines.filter((line) => line.startsWith("error")), []);
    }
    return tabs;
  }
}

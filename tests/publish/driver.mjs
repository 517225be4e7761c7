// SPDX-License-Identifier: ISC
// As driver.py, of publish/node/jobwire.js.

import { createInterface } from "node:readline";
import { connect } from "../../publish/node/jobwire.js";

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const named = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));

async function answer(action) {
  let said;
  try {
    said = { ok: (await action()) ?? null };
  } catch (error) {
    if (error.name !== "JobwireError") throw error;
    said = { error: error.code, status: error.status, retry_after: error.retryAfter, message: error.message };
  }
  console.log(JSON.stringify(said));
}

let jw;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.target) await answer(() => void (jw = connect(order.target, named(order.options))));
  else await answer(() => {
    const positions = { publish: 3, register: 1, start: 3, webhook_url: 1, token: 2, ticket: 2 }[order.call];
    const args = [...order.args, ...Array(positions - order.args.length).fill(undefined)];
    return jw[camel(order.call)](...args, named(order.options));
  });
}

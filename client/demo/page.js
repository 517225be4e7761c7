// SPDX-License-Identifier: ISC
// What both pages do alike: elements, and an event as a line of a timeline.

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Seconds in the unit that reads best. */
export function duration(seconds) {
  if (seconds === undefined) return "–";
  if (seconds === 0) return "0 s";
  if (seconds === Infinity) return "over 5 s";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(2))} ms` : `${seconds.toFixed(1)} s`;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
export const clock = (date, more = {}) => date.toLocaleTimeString([], { ...CLOCK, ...more });

/** The members of an event's data that are worth a place beside it. */
const SAID = {
  progress: (percent) => `${percent} %`,
  step: String,
  error: String,
  delayTime: (ms) => `waited ${duration(ms / 1000)}`,
  executionTime: (ms) => `ran ${duration(ms / 1000)}`,
};
export const said = (data) =>
  Object.keys(SAID)
    .filter((key) => data[key] !== undefined)
    .map((key) => SAID[key](data[key]))
    .join(", ");

/** A line of a timeline: when it was, how long after the one before, what, and with which data. */
export function moment(type, data, at, before) {
  const after = before ? `+${duration(Math.max(0, at - before) / 1000)}` : at.toLocaleDateString([], { month: "short", day: "numeric" });
  const time = make("time", { dateTime: at.toISOString(), textContent: clock(at, { fractionalSecondDigits: 3 }) });
  const item = make("li", {}, time, make("span", { className: "quiet after" }, after));
  item.append(make("span", {}, make("strong", {}, type), " ", make("span", {}, said(data))));
  item.dataset.type = type;
  return item;
}

/**
 * The photo page's jobs, which this browser keeps. Read anew each time, for other tabs add to it and take from it;
 * none where something else stands there.
 */
export function kept() {
  try {
    const list = JSON.parse(localStorage.getItem("restorations"));
    return Array.isArray(list) ? list.filter((one) => typeof one?.job === "string" && typeof one.name === "string") : [];
  } catch {
    return [];
  }
}

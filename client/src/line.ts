// SPDX-License-Identifier: ISC
// A line: the jobs of one stream, kept connected for as long as one of them is
// wanted. Where streams do not come through, a chain of JSON requests. Which
// jobs it has, and what they missed before, is the business of leader.ts.
//
//   gather -> stream -> (again) gather
//                    -> (pause) wait -> gather
//                    -> (refused, silent) ask by JSON -> over, wait, or poll

import type { ConnectionError, ConnectionOptions, ConnectionState, JobData } from "./jobwire.js";
import { type Message, backoff, isTerminal, pause } from "./protocol.js";
import { type Answer, type Refusal, type Server, isRefusal, reasonOf } from "./server.js";

/** In milliseconds. */
const enum Ms {
  /** Jobs that are wanted together are asked for together. */
  gather = 10,
  heartbeat = 15_000,
  /** A new stream that is silent for so long is compared with what JSON brings. */
  early = 3000,
  /** A poll that ends earlier with nothing did not wait. */
  noWait = 1000,
  /** What comes within this time after the stream was opened was known before. */
  fresh = 1000,
}
const enum Count {
  /** After so many streams in a row that were refused or silent, while JSON gets through, the line polls. */
  strikes = 2,
  /** After so many heartbeats' time without a sign a stream is dead. */
  silentBeats = 3,
  /** What a poll asks the server to wait. */
  waitSeconds = 25,
}

/** How a stream ended: reopen it at once, reopen it after a pause, or first ask for the reason. */
const enum End {
  again,
  pause,
  refused,
  silent,
}

export interface Line {
  /** What is wanted now; poke() after adding what is not carried. */
  readonly jobs: Set<string>;
  /** What the request under way carries. */
  readonly carried: string[];
  readonly place: string;
  /** Takes no further jobs. */
  readonly isAlone: boolean;
  /** Ask anew, from the same place: the jobs, the types or the network have changed. */
  poke(): void;
  /** Say the state again. */
  tell(): void;
}

/** What a line needs to know of the world. */
export interface LineContext {
  server: Server;
  options(): ConnectionOptions;
  isPolling(): boolean;
  types: Set<string>;
  say(message: Message): void;
  /** The line has no job left and is gone. */
  onEnd(line: Line): void;
  /** A job was refused: it needs a line of its own, for the others' sake. */
  onRefused(job: string, place: string): void;
}

export function createLine(context: LineContext, place: string, isAlone: boolean): Line {
  const { server, options, say } = context;
  const jobs = new Set<string>();
  const status = new Map<string, string>();
  let carried: string[] = [];
  let state: ConnectionState = "connecting";
  let trouble: ConnectionError | undefined;
  let hasHeard = false;
  let isPoked = true;
  let tries = 0;
  let strikes = 0;
  let wake: (() => void) | undefined;

  const beats = (n: number) => n * (options().heartbeat ?? Ms.heartbeat);

  // --- What to say of it -------------------------------------------------------

  function tell(next = state, error = next === state ? trouble : undefined) {
    state = next;
    trouble = error;
    say({ kind: "told", jobs: [...jobs], state, error });
  }

  function live(id: string, type: string, data: JobData) {
    place = id;
    if (data.job_id) status.set(data.job_id, data.status);
    say({ kind: "live", jobs: carried, id, type, data });
  }

  function over(ended: string[]) {
    for (const job of ended) jobs.delete(job);
    say({ kind: "over", jobs: ended });
  }

  /** What a JSON request brought. True: all jobs have ended. */
  async function take({ events, last_event_id, terminal }: Answer) {
    for (const { id, event, data } of events) live(id, event, data);
    place = last_event_id;
    if (!terminal) return false;
    const ended = carried;
    for (const job of ended) {
      if (isTerminal(status.get(job))) continue;
      const data = await server.job(job);
      const { last_event_id: id, state: type } = data;
      say({ kind: "live", jobs: [job], id, type, data: { ...data, status: type }, isMade: true });
    }
    over(ended);
    return true;
  }

  // --- The stream --------------------------------------------------------------

  async function stream(): Promise<End> {
    const address = await server.stream(carried, place);
    // Not the jobs that this address, and its ticket, were for.
    if (isPoked) return End.again;
    tell("connecting");
    let opened = 0;
    const source = new EventSource(address, { withCredentials: !!options().withCredentials });
    return new Promise((resolve) => {
      let timer: ReturnType<typeof setTimeout>;

      function end(how: End) {
        clearTimeout(timer);
        source.close();
        resolve(how);
      }

      function expect(milliseconds: number) {
        clearTimeout(timer);
        timer = setTimeout(() => end(hasHeard ? End.again : End.silent), milliseconds);
      }

      /** Whatever holds a stream back holds its head back, too, or what JSON brings. */
      async function compare() {
        // The server draws the time of the first heartbeat from one heartbeat's time.
        expect(beats(4 / 3));
        const answer = await server.events(carried, place).catch(() => {});
        if (answer && !hasHeard && (!opened || answer.events.length)) end(End.silent);
      }

      function heard() {
        hasHeard = true;
        expect(beats(Count.silentBeats));
      }

      // The browser's own `error` and `open` have no data; a job's event may be called so, too.
      function on({ data, lastEventId, type }: MessageEvent) {
        if (!data) return;
        heard();
        live(lastEventId, type, JSON.parse(data));
      }

      wake = () => end(End.again);
      for (const type of context.types) source.addEventListener(type, on);
      source.addEventListener("heartbeat", heard);
      source.addEventListener("expiring", () => {
        // Said at once, it says that the page's token is an old one: another ticket would be no better.
        if (options().ticket && Date.now() > opened + Ms.fresh) end(End.again);
      });
      source.onopen = () => {
        opened = Date.now();
        tell("open");
      };
      source.onerror = ({ data }: Event & { data?: unknown }) => {
        if (data) return;
        if ([...jobs].every((job) => isTerminal(status.get(job)))) {
          over([...jobs]);
          end(End.again);
        } else if (source.readyState === 2) end(End.refused);
        // The browser would come back with the ticket that is used up.
        else if (options().ticket) end(End.pause);
        else {
          tell("connecting");
          expect(beats(Count.silentBeats));
        }
      };
      timer = setTimeout(compare, Ms.early);
    });
  }

  // --- Its life ----------------------------------------------------------------

  /** Can be cut short by a poke. */
  function askEvents(wait?: number) {
    const abort = new AbortController();
    wake = () => abort.abort();
    return server.events(carried, place, wait, abort);
  }

  function rest(milliseconds: number) {
    return new Promise<void>((resolve) => {
      wake = resolve;
      if (isPoked || !milliseconds) resolve();
      else setTimeout(resolve, milliseconds);
    });
  }

  /** One job that is refused makes the whole request refused: the others go on without it. */
  async function expel() {
    const refused: string[] = [];
    for (const job of carried)
      await server.events([job], place).catch((error) => isRefusal(error?.status) && refused.push(job));
    if (refused.length === carried.length) return false;
    for (const job of refused) if (jobs.delete(job)) context.onRefused(job, place);
    return true;
  }

  /** Connects, and stays so while it lasts. How long to rest afterwards. */
  async function attempt() {
    if (context.isPolling()) {
      tell("polling");
      const asked = Date.now();
      const answer = await askEvents(Count.waitSeconds);
      tries = 0;
      // A server that does not wait must not be asked without end.
      return (await take(answer)) || answer.events.length || Date.now() > asked + Ms.noWait ? 0 : backoff(0);
    }
    const how = await stream();
    if (hasHeard) tries = strikes = 0;
    if (how === End.again) return 0;
    if (how !== End.pause) {
      if (await take(await askEvents())) return 0;
      if (++strikes >= Count.strikes) {
        tell("polling");
        return 0;
      }
    }
    tell("waiting");
    return backoff(tries++);
  }

  async function run() {
    while ((isPoked && (await pause(Ms.gather)), jobs.size)) {
      isPoked = hasHeard = false;
      carried = [...jobs];
      // What became of a job while it was not carried was not seen.
      status.clear();
      try {
        await rest(await attempt());
      } catch (error) {
        if (isPoked) continue;
        const reason = reasonOf(error);
        tell("waiting", reason);
        if (carried.length < 2 || !isRefusal(reason.status) || !(await expel()))
          await rest(Math.max(backoff(tries++), (error as Refusal)?.delay || 0));
      }
    }
    context.onEnd(self);
  }

  const self: Line = {
    jobs,
    get carried() {
      return carried;
    },
    get place() {
      return place;
    },
    isAlone,
    poke() {
      isPoked = true;
      wake?.();
    },
    tell: () => tell(),
  };
  run();
  return self;
}

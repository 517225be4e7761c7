#!/usr/bin/env python3
"""usage: load.py URL SECRET STREAMS RATE SECONDS-AT-MOST

Holds STREAMS streams, each of a job of its own, and sends RATE webhooks a
second to these jobs, until standard input ends. Then prints what came of it as
one line of JSON; exit status 0 only when nothing was lost, doubled or refused.
SECRET is a standard_secret of the site. Needs nothing but Python.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import resource
import sys
import time
import urllib.parse


class Stream:
    """A client that resumes with the id of its last event, as browsers do."""

    def __init__(self, site, job):
        self.site, self.job = site, job
        self.seen = []
        self.last_id, self.retry = "", 3.0
        self.opened = 0
        self.is_open = False

    async def live(self):
        while True:
            try:
                await self.read()
            except (OSError, asyncio.IncompleteReadError):
                self.site.note("streams_refused", self.job)
            self.is_open = False
            await asyncio.sleep(self.retry * random.uniform(0.5, 1))

    async def read(self):
        fields = {"Accept": "text/event-stream"}
        if self.last_id:
            fields["Last-Event-ID"] = self.last_id
        reader, writer = await self.site.request("GET", f"/api/v1/events/{self.job}", fields)
        try:
            status, _ = await self.site.head(reader)
            if status != 200:
                self.site.note("streams_refused", status)
                return
            self.opened += 1
            buffer = b""
            while data := await reader.read(65536):
                buffer += data
                self.is_open = True
                *blocks, buffer = buffer.split(b"\n\n")
                for block in blocks:
                    self.take(block.decode())
        finally:
            writer.close()

    def take(self, block):
        fields = {}
        for line in block.splitlines():
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        if "retry" in fields:
            self.retry = int(fields["retry"]) / 1000
        if fields.get("event") == "resync":
            self.site.note("resyncs", fields.get("data"))
        elif "id" in fields:
            self.last_id = fields["id"]
            self.seen.append(fields["id"])


class Site:
    """The web server, and what was sent to it."""

    def __init__(self, url, secret, streams):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.key = base64.b64decode(secret.removeprefix("whsec_"))
        self.streams = [Stream(self, f"load-{n}") for n in range(streams)]
        self.stored = {stream.job: [] for stream in self.streams}
        self.troubles = {"streams_refused": 0, "webhooks_refused": 0, "resyncs": 0}
        self.sent = 0
        self.slowest = 0.0

    def note(self, what, why):
        self.troubles[what] += 1
        if self.troubles[what] < 10:
            print(f"load: {time.strftime('%T')} {what}: {why}", file=sys.stderr, flush=True)

    async def request(self, method, target, fields, body=b""):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        # By HTTP/1.0 there are no chunks, and the end is that of the connection.
        head = [f"{method} {target} HTTP/1.0", f"Host: {self.host}"]
        head += [f"{name}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join(head + ["", ""]).encode() + body)
        await writer.drain()
        return reader, writer

    async def head(self, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        return int(head.split()[1]), head

    async def webhook(self, number):
        job = self.streams[number % len(self.streams)].job
        body = json.dumps({
            "type": "job.progress", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "data": {"id": f"run-{job}", "input": {"job_id": job}, "progress": number % 100},
        }).encode()
        name, now = f"msg-{number}", str(int(time.time()))
        mac = hmac.new(self.key, b".".join([name.encode(), now.encode(), body]), hashlib.sha256)
        fields = {
            "Content-Type": "application/json", "Content-Length": len(body),
            "webhook-id": name, "webhook-timestamp": now,
            "webhook-signature": "v1," + base64.b64encode(mac.digest()).decode(),
        }
        begun = time.monotonic()
        try:
            reader, writer = await self.request("POST", "/api/v1/webhooks/standard", fields, body)
            status, _ = await self.head(reader)
            answer = await reader.read()
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as fault:
            self.note("webhooks_refused", fault)
            return
        self.slowest = max(self.slowest, time.monotonic() - begun)
        event = json.loads(answer).get("event_id") if status == 200 else None
        if event:
            self.stored[job].append(event)
        else:
            self.note("webhooks_refused", f"{status} {answer[:200]}")

    async def send(self, rate, over):
        tasks, begun = set(), time.monotonic()
        while not over.is_set():
            due = int((time.monotonic() - begun) * rate)
            while self.sent < due:
                task = asyncio.create_task(self.webhook(self.sent))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self.sent += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)

    def number(self, event):
        return int(event.rsplit("-", 1)[1])

    def sums(self):
        lost = doubled = 0
        for stream in self.streams:
            lost += len(set(self.stored[stream.job]) - set(stream.seen))
            doubled += len(stream.seen) - len(set(stream.seen))
            doubled += sorted(stream.seen, key=self.number) != stream.seen  # out of order
        return lost, doubled


async def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return condition()


async def main(url, secret, streams, rate, most):
    site = Site(url, secret, int(streams))
    lives = [asyncio.create_task(stream.live()) for stream in site.streams]
    if not await until(lambda: all(s.is_open for s in site.streams), 60):
        print("load: the streams do not open", file=sys.stderr)
        return 1
    print("ready", flush=True)
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin, over.set)
    loop.call_later(float(most), over.set)
    await site.send(float(rate), over)
    # What is late, but not lost, comes with the next connection.
    await until(lambda: site.sums()[0] == 0, 60)
    lost, doubled = site.sums()
    for life in lives:
        life.cancel()
    print(json.dumps({
        "webhooks": site.sent, "events": sum(len(s.seen) for s in site.streams), "lost": lost,
        "doubled": doubled, **site.troubles, "slowest_webhook_s": round(site.slowest, 2),
        "connections_per_stream": round(sum(s.opened for s in site.streams) / len(site.streams), 1),
    }), flush=True)
    return int(lost + doubled + sum(site.troubles.values()) > 0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    sys.exit(asyncio.run(main(*sys.argv[1:])))

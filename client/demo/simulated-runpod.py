#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A development tool, never part of an installation: plays both parties that the demo page needs.

The backend is what you would write: it registers a job with jobwire, hands it to the service together with
the signed webhook URL, and tells the page the job's id. The service is RunPod with a worker: it publishes
progress, really restores the picture, and calls the webhook as RunPod does, with the same members and the
same repetitions. scripts/run starts it behind nginx; nothing here checks who calls.

    POST /run   {"input": {"width", "height", "pixels", "should_fail"}}   201 {"job_id", "restore_id"}
    GET  /jobs  the newest jobs, for the operator's page                  200 {"jobs": [..]}

`pixels` is base64 of three bytes (red, green, blue) for each pixel.
"""

import argparse
import base64
import binascii
import collections
import http.server
import json
import os
import socketserver
import struct
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor

MAX_SIDE = 480
MAX_BODY = 2 << 20
STEPS = {10: "reading the picture", 20: "looking for scratches", 50: "removing scratches", 70: "restoring colours"}
FAILS_AT = 40

# The machine's proxy, if there is one, has nothing to do with loopback.
connection = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, body, key=None):
    """The decoded answer; raises OSError for any but 2xx (HTTPError is one)."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with connection.open(request, timeout=10) as answer:
        return json.load(answer)


# --- restoring ----------------------------------------------------------------------------------


def without_scratches(channel, other=40):
    """A pixel that differs from the median of its neighbours in the row is a scratch or dust."""
    near = zip(channel, channel[1:], channel[2:], channel[3:], channel[4:])
    medians = ((five[2], sorted(five)[2]) for five in near)
    mended = bytes(median if abs(old - median) > other else old for old, median in medians)
    return channel[:2] + mended + channel[-2:]


def with_full_range(channel):
    """Stretches what is between the darkest and the brightest hundredth, which also takes a tint away."""
    ordered = sorted(channel)
    low, high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    scale = 255 / max(1, high - low)
    return channel.translate(bytes(min(255, max(0, round((value - low) * scale))) for value in range(256)))


def png(width, height, pixels):
    """An image file of RGB pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = 3 * width
    rows = b"".join(b"\0" + pixels[y * row : (y + 1) * row] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def restored(width, height, pixels):
    """The picture as an image file, better than it was."""
    mended = bytearray(len(pixels))
    for color in range(3):
        mended[color::3] = with_full_range(without_scratches(pixels[color::3]))
    return png(width, height, bytes(mended))


# --- the service --------------------------------------------------------------------------------


class RunPod:
    """An endpoint with two workers; further jobs wait in the queue."""

    def __init__(self, publish, pace):
        self.publish = publish
        self.pace = pace
        self.workers = ThreadPoolExecutor(max_workers=2)

    def run(self, job_id, job_input, webhook):
        request = {"id": f"{uuid.uuid4()}-u1", "input": job_input, "webhook": webhook}
        self.workers.submit(self.work, job_id, request, time.monotonic())

    def work(self, job_id, request, submitted):
        started = time.monotonic()
        time.sleep(self.pace)
        try:
            outcome = {"output": self.handle(job_id, request["input"]), "status": "COMPLETED"}
        except RuntimeError as error:
            # The SDK sends an exception as JSON text inside the text.
            about = {
                "error_type": str(type(error)),
                "error_message": str(error),
                "error_traceback": "Traceback (most recent call last): ...",
                "hostname": "simulated-6441",
                "worker_id": "simulated",
                "runpod_version": "1.7.9",
            }
            outcome = {"error": json.dumps(about), "status": "FAILED"}
        times = {
            "delayTime": round(1000 * (started - submitted)),
            "executionTime": round(1000 * (time.monotonic() - started)),
        }
        self.complete({**times, **request, **outcome})

    def handle(self, job_id, job_input):
        """The worker's handler: RunPod passes no progress on, so the worker publishes it itself."""
        self.publish(job_id, "processing")
        picture = None
        step = ""
        for progress in range(10, 100, 10):
            step = STEPS.get(progress, step)
            self.publish(job_id, "progress", {"progress": progress, "step": step})
            if job_input.get("should_fail") and progress == FAILS_AT:
                raise RuntimeError("CUDA out of memory")
            if progress == 70:
                pixels = base64.b64decode(job_input["pixels"])
                picture = restored(job_input["width"], job_input["height"], pixels)
            time.sleep(self.pace)
        return {"image": "data:image/png;base64," + base64.b64encode(picture).decode()}

    def complete(self, body):
        """Calls the webhook; what is not answered 200 is repeated twice, ten seconds apart."""
        for last in (False, False, True):
            try:
                post(body["webhook"], body)
                return
            except OSError as error:
                # Not with its URL, which holds the signature.
                print(f"the webhook was not taken: {error}", file=sys.stderr, flush=True)
            if not last:
                time.sleep(10)


# --- the backend --------------------------------------------------------------------------------


class Backend:
    """What your own server does, in two calls."""

    def __init__(self, server, key, pace):
        self.server = server
        self.key = key
        self.service = RunPod(self.publish, pace)
        self.newest = collections.deque(maxlen=20)

    def publish(self, job_id, kind, data=None):
        try:
            post(f"{self.server}/api/v1/jobs/{job_id}/events", {"type": kind, "data": data or {}}, self.key)
        except OSError as error:  # the job goes on: the next progress says more
            print(f"{kind} was not published: {error}", file=sys.stderr, flush=True)

    def start(self, job_input):
        restore_id = str(uuid.uuid4())
        job = post(f"{self.server}/api/v1/jobs", {"restore_id": restore_id}, self.key)
        self.newest.append(job["job_id"])
        self.publish(job["job_id"], "queued")
        self.service.run(job["job_id"], job_input, job["webhook_url"])
        return {"job_id": job["job_id"], "restore_id": restore_id}


def checked(job_input):
    """The input; raises ValueError where it is no picture."""
    width, height = job_input["width"], job_input["height"]
    for side in (width, height):
        if not isinstance(side, int) or not 5 <= side <= MAX_SIDE:
            raise ValueError(f"a side is not 5 to {MAX_SIDE} pixels long")
    if len(base64.b64decode(job_input["pixels"], validate=True)) != 3 * width * height:
        raise ValueError("there are more or fewer pixels than the size says")
    return job_input


class Handler(http.server.BaseHTTPRequestHandler):
    backend = None

    def do_GET(self):
        if self.path == "/jobs":
            self.answer(200, {"jobs": list(self.backend.newest)})
        else:
            self.refuse(404, "not_found", "There is nothing here.")

    def do_POST(self):
        if self.path != "/run":
            return self.refuse(404, "not_found", "There is nothing here.")
        try:
            length = int(self.headers["Content-Length"])
            if not 0 <= length <= MAX_BODY:
                raise ValueError("the body is too large")
            job_input = checked(json.loads(self.rfile.read(length))["input"])
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            return self.refuse(400, "bad_input", f"This is no picture: {error}.")
        try:
            self.answer(201, self.backend.start(job_input))
        except OSError as error:
            self.refuse(502, "not_registered", f"jobwire did not take the job: {error}.")

    def refuse(self, status, code, message):
        self.answer(status, {"error": {"code": code, "message": message}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code="-", size="-"):
        """nginx has logged it."""

    def address_string(self):
        return "nginx"  # a Unix socket has no address


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    parser = argparse.ArgumentParser(description="Plays RunPod for the demo page; for development only.")
    parser.add_argument("--socket", required=True, help="where to listen; nginx is in front")
    parser.add_argument("--server", required=True, help="where jobwire is, such as http://127.0.0.1:8080")
    parser.add_argument("--key-file", required=True, help="a file with one of jobwire's publish_keys")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds for a tenth of a job")
    flags = parser.parse_args()
    with open(flags.key_file, encoding="ascii") as file:
        Handler.backend = Backend(flags.server, file.read().strip(), flags.pace)
    if os.path.exists(flags.socket):
        os.unlink(flags.socket)
    with Server(flags.socket, Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: ISC
"""The demo's worker, written as one for RunPod is: restores the picture in its input, in earnest.

RunPod passes no progress on, so a worker publishes it itself: JOBWIRE_URL says where jobwire is, and the
file JOBWIRE_KEY_FILE has one of its publish_keys. `jobwire simulate runpod --handler` runs it.

    {"job_id", "width", "height", "pixels", "should_fail"}

`pixels` is base64 of three bytes (red, green, blue) for each pixel.
"""

import base64
import json
import os
import struct
import sys
import time
import urllib.request
import zlib

import runpod

MAX_SIDE = 480
STEPS = {10: "reading the picture", 20: "looking for scratches", 50: "removing scratches", 70: "restoring colours"}
FAILS_AT = 40
PACE = 0.3  # seconds for a tenth of a job

# The machine's proxy, if there is one, has nothing to do with loopback.
connection = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with open(os.environ["JOBWIRE_KEY_FILE"], encoding="ascii") as file:
    key = file.read().strip()


def publish(job_id, kind, data=None):
    """Tells the page where the job stands."""
    url = f"{os.environ['JOBWIRE_URL']}/api/v1/jobs/{job_id}/events"
    body = json.dumps({"type": kind, "data": data or {}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        connection.open(urllib.request.Request(url, body, headers), timeout=10).close()
    except OSError as error:  # the job goes on: the next progress says more
        print(f"{kind} was not published: {error}", file=sys.stderr, flush=True)


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


# --- the handler --------------------------------------------------------------------------------


def picture_of(job_input):
    """Width, height and bytes; raises where the input is no picture."""
    width, height = job_input["width"], job_input["height"]
    for side in (width, height):
        if not isinstance(side, int) or not 5 <= side <= MAX_SIDE:
            raise ValueError(f"a side is not 5 to {MAX_SIDE} pixels long")
    pixels = base64.b64decode(job_input["pixels"], validate=True)
    if len(pixels) != 3 * width * height:
        raise ValueError("there are more or fewer pixels than the size says")
    return width, height, pixels


def handler(job):
    """What RunPod calls."""
    job_input = job["input"]
    job_id = job_input["job_id"]
    width, height, pixels = picture_of(job_input)
    time.sleep(PACE)
    # The first progress makes the job `processing`. An event of that type would take it up again if it was cancelled meanwhile.
    image = step = None
    for progress in range(10, 100, 10):
        step = STEPS.get(progress, step)
        publish(job_id, "progress", {"progress": progress, "step": step})
        if job_input.get("should_fail") and progress == FAILS_AT:
            raise RuntimeError("CUDA out of memory")
        if progress == 70:
            image = restored(width, height, pixels)
        time.sleep(PACE)
    return {"image": "data:image/png;base64," + base64.b64encode(image).decode()}


runpod.serverless.start({"handler": handler})

"""The design that jobwire replaced: what is posted goes into a queue in memory
for each stream that is open, and nowhere else. `uvicorn old_design:app`."""

import asyncio
import collections

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

PING_S = 15

app = FastAPI()
listeners = collections.defaultdict(set)


@app.post("/pub/{job}")
async def publish(job: str, request: Request):
    """An event for whoever listens at this moment."""
    text = (await request.body()).decode()
    for queue in listeners[job]:
        queue.put_nowait(text)
    return {"ok": True}


async def _events(job, queue):
    try:
        yield ": open\n\n"
        while True:
            try:
                text = await asyncio.wait_for(queue.get(), PING_S)
            except asyncio.TimeoutError:
                yield ": ping\n\n"
            else:
                yield f"data: {text}\n\n"
    finally:
        listeners[job].discard(queue)


@app.get("/sub/{job}")
async def follow(job: str):
    """The job's events from now on."""
    queue = asyncio.Queue()
    listeners[job].add(queue)
    return StreamingResponse(_events(job, queue), media_type="text/event-stream")

# SPDX-License-Identifier: ISC
"""A FastAPI site whose users see their jobs move: docs/migrate.md.

    python3 -m uvicorn with_fastapi:app --port 8000

Debian: python3-fastapi python3-uvicorn python3-itsdangerous
"""

import os
import secrets
import time
from pathlib import Path

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from starlette.middleware.sessions import SessionMiddleware

import jobwire

jw = jobwire.connect(os.environ.get("JOBWIRE_DB", "/var/lib/jobwire/jobwire.db"))
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())


def current_user(request: Request) -> str:
    """Yours: whoever the session says it is."""
    user = request.session.get("user")
    if user is None:
        raise HTTPException(401)
    return user


@app.get("/")
def page():
    return FileResponse(Path(__file__).with_name("page.html"))


@app.post("/login")
def login(request: Request, name: str):
    """Stands for your log-in: it asks for no password."""
    request.session["user"] = name
    return {"user": name}


@app.post("/start")
def start(tasks: BackgroundTasks, user: str = Depends(current_user)):
    job = jw.register(owner=user)["job_id"]
    tasks.add_task(work, job)
    return {"job_id": job}


@app.post("/ticket")
def ticket(user: str = Depends(current_user)):
    """For `events_auth = ticket`: one request of this user's page."""
    return {"ticket": jw.ticket(user)}


@app.get("/whoami")
def whoami(user: str = Depends(current_user)):
    """For `events_auth = server`: nginx asks who sent this cookie."""
    return Response(status_code=204, headers={"X-User": user})


def work(job):
    """The work itself; it can be any process, such as a worker of Celery."""
    for percent in (25, 50, 75):
        time.sleep(0.2)
        jw.publish(job, "progress", {"progress": percent})
    jw.publish(job, "completed", {"output": {"pages": 3}})

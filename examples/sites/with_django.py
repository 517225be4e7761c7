# SPDX-License-Identifier: ISC
"""A Django site whose users see their jobs move: docs/migrate.md.

    python3 with_django.py runserver --noreload 8000

Debian: python3-django
"""

import os
import secrets
import sys
import threading
import time
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST

import jobwire

settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY=secrets.token_hex(), ALLOWED_HOSTS=["*"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware"],
)
jw = jobwire.connect(os.environ.get("JOBWIRE_DB", "/var/lib/jobwire/jobwire.db"))


def for_users(view):
    """Yours is login_required, and request.user.get_username()."""
    def checked(request):
        user = request.session.get("user")
        return HttpResponse(status=401) if user is None else view(request, user)
    return checked


@ensure_csrf_cookie
def page(request):
    return HttpResponse(Path(__file__).with_name("page.html").read_text("utf-8"))


@require_POST
def login(request):
    """Stands for your log-in: it asks for no password."""
    request.session["user"] = request.GET["name"]
    return JsonResponse({"user": request.GET["name"]})


@require_POST
@for_users
def start(request, user):
    job = jw.register(owner=user)["job_id"]
    threading.Thread(target=work, args=(job,)).start()
    return JsonResponse({"job_id": job})


@require_POST
@for_users
def ticket(request, user):
    """For `events_auth = ticket`: one request of this user's page."""
    return JsonResponse({"ticket": jw.ticket(user)})


@for_users
def whoami(request, user):
    """For `events_auth = server`: nginx asks who sent this cookie."""
    return HttpResponse(status=204, headers={"X-User": user})


def work(job):
    """The work itself; it can be any process, such as a worker of Celery."""
    for percent in (25, 50, 75):
        time.sleep(0.2)
        jw.publish(job, "progress", {"progress": percent})
    jw.publish(job, "completed", {"output": {"pages": 3}})


urlpatterns = [
    path("", page), path("login", login), path("start", start),
    path("ticket", ticket), path("whoami", whoami),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

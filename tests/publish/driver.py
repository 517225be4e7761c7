# SPDX-License-Identifier: ISC
"""Calls publish/python/jobwire.py as it is told: a line of standard input has
what connect() gets, or a call of what it gave last, and is answered by a line.
Beside it the same for PHP and Node; names are those of Python."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../publish/python"))
import jobwire  # noqa: E402


def answer(action):
    try:
        said = {"ok": action()}
    except jobwire.JobwireError as error:
        said = {"error": error.code, "status": error.status,
                "retry_after": error.retry_after, "message": str(error)}
    print(json.dumps(said), flush=True)


def main():
    jw = None
    for line in sys.stdin:
        order = json.loads(line)
        if "target" in order:
            jw = None

            def action():
                nonlocal jw
                jw = jobwire.connect(order["target"], **order["options"])
        else:
            def action():
                return getattr(jw, order["call"])(*order["args"], **order["options"])
        answer(action)


main()

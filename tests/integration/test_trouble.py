"""The database in trouble while jobwire-webhook runs: what is answered, that
nothing is lost or doubled, and that all is well afterwards without a restart.
The rows of docs/protocol.md that name the database are here."""

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from harness.inbound import (  # noqa: F401
    KEY, Senders, at_once, away, fixture_inbound, fixture_pair, health,
    log_count, look, publish, read_inbound_metrics, register,
)
from harness.publish import ForeignWriter, fixture
from harness.reading import refusal
from harness.site import checkpoint, program
from harness.tmpfs import Ballast, inside, small_disk
from harness.wait import patience, until
from test_database import unprivileged

COMPLETED = fixture("runpod-completed.json")


def assert_refused_so(site, status, code):
    """All that write are answered this, and the health is bad."""
    wanted = (status, code)
    assert refusal(site.post(site.signed("during"), COMPLETED)) == wanted
    assert refusal(register(site, job_id="during")) == wanted
    assert refusal(publish(site, "during", {"type": "step"})) == wanted
    assert health(site) == 503


def assert_well_again(site, server=None):
    """Without a restart, and only the health asks; then what was refused is
    sent again; the log has one line of the beginning and one of the end. (What
    was committed before the file was missed is there when it comes back.)"""
    server = server or site.webhook
    until(lambda: health(site) == 200, "the database to be in use", 15)
    site.deliver("during", COMPLETED)
    assert site.deliver("during", COMPLETED)["duplicate"] is True
    assert log_count(server, "commit_failed") == 1
    assert log_count(server, "commit_recovered") == 1


# -- the file ----------------------------------------------------------------


def test_database_missing(inbound):
    with away(inbound):
        assert_refused_so(inbound, 503, "database_missing")
        assert not os.path.exists(inbound.db), "a new one was made"
    assert_well_again(inbound)
    assert len(inbound.writer.rows()) == 1


def test_missing_with_no_traffic_but_health(inbound):
    assert health(inbound) == 200
    for _ in range(3):
        with away(inbound):
            assert health(inbound) == 503
        # A janitor that has just come back, too, may have the lock.
        until(lambda: health(inbound) == 200, "the database to be in use")
    log = inbound.webhook
    assert log_count(log, "commit_failed") == 3
    assert log_count(log, "commit_recovered") == 3


def test_renamed_away_and_back_under_load(inbound):
    with Senders(inbound, 8) as senders:
        until(lambda: len(senders.accepted) > 100, "deliveries", 20)
        for _ in range(3):
            with away(inbound):
                seen = senders.refusals.total()
                until(lambda: senders.refusals.total() > seen, "refusals")
            count = len(senders.accepted)
            until(lambda: len(senders.accepted) > count + 50, "more", 20)
    assert set(senders.refusals) == {(503, "database_missing")}
    assert senders.check_stored() == len(senders.accepted)


def test_replaced_under_load(inbound):
    """What was answered with the new database's epoch is in it; what is sent
    again afterwards becomes one event."""
    with Senders(inbound, 4) as senders:
        until(lambda: len(senders.accepted) > 50, "deliveries", 20)
        inbound.replace_database()
        count = len(senders.accepted)
        until(lambda: len(senders.accepted) > count + 50, "more", 20)
    epoch = inbound.writer.epoch()
    senders.accepted = {
        key: event_id for key, event_id in senders.accepted.items()
        if event_id.startswith(epoch)
    }
    assert len(senders.accepted) >= 50
    senders.check_stored()
    assert {code for _, code in senders.refusals} <= {"database_missing"}
    for key in list(senders.accepted):
        assert senders.send(*key).json()["duplicate"] is True


def test_deleted_and_made_again(inbound):
    inbound.deliver("before", COMPLETED)
    inbound.drop_writer()
    for name in os.listdir(inbound.db_folder):
        os.unlink(os.path.join(inbound.db_folder, name))
    assert_refused_so(inbound, 503, "database_missing")
    inbound.init()
    assert_well_again(inbound)
    assert [row[1] for row in inbound.writer.rows()] == ["during"]


def remove_log(site):
    """As SQLite does when the last connection closes; ours does not see it
    happen, for it is about to get another file."""
    site.drop_writer()
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(site.db + suffix)


def put_in_place(site, make):
    """Replaces the database by what make(path) writes; the path of a good
    copy of it."""
    checkpoint(site.db)
    good, new = site.db + ".good", site.db + ".new"
    shutil.copyfile(site.db, good)
    make(new)
    remove_log(site)
    os.rename(new, site.db)
    return good


def put_back(site, good):
    """The good copy is the database from now on."""
    remove_log(site)
    os.rename(good, site.db)


def open_to_all(site):
    """Nobody in particular may write the database."""
    os.chmod(site.db_folder, 0o777)
    for name in os.listdir(site.db_folder):
        os.chmod(os.path.join(site.db_folder, name), 0o666)


def test_database_readonly(make_site):
    """Replaced by a file that may not be written, which then may."""
    site = make_site(publish_keys=KEY)
    open_to_all(site)
    site.start("webhook", **unprivileged(site, "webhook"))
    site.deliver("before", COMPLETED)

    def make(path):
        shutil.copyfile(site.db, path)
        os.chmod(path, 0o444)

    os.unlink(put_in_place(site, make))
    assert_refused_so(site, 500, "database_readonly")
    os.chmod(site.db, 0o666)
    assert_well_again(site)
    assert [row[1] for row in site.writer.rows()] == ["before", "during"]


def make_garbage(path):
    """Whatever its name says."""
    with open(path, "wb") as file:
        file.write(b"This is no database.\n" * 1000)


def make_another(path):
    """A database of another program."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks(url)")
    connection.close()


@pytest.mark.parametrize("make", [make_garbage, make_another])
def test_database_corrupt(inbound, make):
    inbound.deliver("before", COMPLETED)
    good = put_in_place(inbound, make)
    assert_refused_so(inbound, 500, "database_corrupt")
    put_back(inbound, good)
    assert_well_again(inbound)
    assert [row[1] for row in inbound.writer.rows()] == ["before", "during"]


def test_a_damaged_page(inbound):
    """The table's pages are overwritten in the file: refused, or stored for
    good; never a crash, and a good copy in its place is taken."""
    inbound.writer.publish_many([(f"j{n}", "step") for n in range(500)])

    def make(path):
        shutil.copyfile(inbound.db, path)
        (root,) = sqlite3.connect(path).execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'job_events'"
        ).fetchone()
        with open(path, "r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(b"\xee" * 4096)

    good = put_in_place(inbound, make)
    answer = inbound.post(inbound.signed("during"), COMPLETED)
    assert refusal(answer) == (500, "database_corrupt")
    put_back(inbound, good)
    until(lambda: health(inbound) == 200, "the database")
    assert inbound.deliver("during", COMPLETED)["duplicate"] is False
    assert len(inbound.writer.rows()) == 501


# -- locks -------------------------------------------------------------------


def test_locked_for_3_seconds(inbound):
    """Shorter than the writer's patience: who sends waits, and all is
    stored."""
    connection = inbound.writer.connection
    connection.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    release = threading.Timer(3, lambda: connection.execute("COMMIT"))
    release.start()
    values = at_once(
        16, lambda n: inbound.deliver(f"job-{n}", COMPLETED)["duplicate"]
    )
    assert time.monotonic() - begun >= 3
    release.join()
    assert values == [False] * 16
    assert health(inbound) == 200
    assert len(inbound.writer.rows()) == 16
    assert log_count(inbound.webhook, "commit_failed") == 0


def test_database_busy(inbound):
    """Longer than it: refused, in time for the sender."""
    connection = inbound.writer.connection
    connection.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    statuses = at_once(
        4, lambda n: refusal(inbound.post(inbound.signed("during"), COMPLETED)),
    )
    assert time.monotonic() - begun < patience(15)
    assert statuses == [(503, "database_busy")] * 4
    assert health(inbound) == 503
    connection.execute("COMMIT")
    assert_well_again(inbound)
    assert len(inbound.writer.rows()) == 1


def test_each_waits_for_itself(inbound):
    """Who comes while others wait for the lock is given up 5 s after he came,
    and not 5 s after they were."""
    inbound.writer.connection.execute("BEGIN IMMEDIATE")
    waited = [None] * 4

    def call(number):
        time_to_come = begun + number
        until(lambda: time.monotonic() >= time_to_come, "its turn")
        came = time.monotonic()
        answer = inbound.post(inbound.signed(f"job-{number}"), COMPLETED)
        waited[number] = time.monotonic() - came
        return refusal(answer)

    begun = time.monotonic()
    assert at_once(4, call) == [(503, "database_busy")] * 4
    assert min(waited) > 4
    assert max(waited) < 5 + patience(2)
    inbound.writer.connection.execute("COMMIT")


@pytest.mark.parametrize("calls", [0, 1])
def test_health_while_locked(inbound, calls):
    """Answered at once; bad 5 s after the lock was taken at the latest, called
    or not, and not before calls have any reason to fear; well again without
    one."""
    inbound.writer.connection.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    answers = []

    def ask(_):
        while not answers or answers[-1][1] == 200:
            came = time.monotonic()
            answers.append((came - begun, health(inbound)))
            assert time.monotonic() - came < patience(1)
            assert came - begun < 5 + patience(2), "it is never bad"

    at_once(1 + calls, lambda n: ask(n) if n == 0 else
            inbound.post(inbound.signed("during"), COMPLETED))
    assert answers[-1][0] > 3
    inbound.writer.connection.execute("COMMIT")
    assert_well_again(inbound)


def test_all_else_while_locked(pair):
    """Accepted calls wait for the lock; nothing else does: new connections,
    refusals, health, metrics, long bodies that are refused, streams."""
    fault = COMPLETED + b" " * 100_000 + b"}"
    assert health(pair) == 200
    questions = {
        "health": (lambda: health(pair), 200),
        "refusal": (lambda: pair.post(pair.signed("x") + "0", COMPLETED)
                    .status, 403),
        "long refusal": (lambda: pair.post(pair.signed("x"), fault).status,
                         400),
        "metrics": (lambda: look(pair, "/webhooks/metrics").status, 200),
        "stream": (lambda: pair.endpoint("events").call("GET", "/healthz")
                   .status, 200),
    }
    slowest = dict.fromkeys(questions, 0)
    with pair.stream("job-0") as stream:
        stream.wait_open()
        pair.writer.connection.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()

        def ask():
            while time.monotonic() - begun < 3:
                for name, (question, status) in questions.items():
                    came = time.monotonic()
                    assert question() == status, name
                    took = time.monotonic() - came
                    slowest[name] = max(slowest[name], took)
            pair.writer.connection.execute("COMMIT")

        def act(number):
            if number == 16:
                return ask()
            return pair.deliver(f"job-{number}", COMPLETED)["event_id"]

        ids = at_once(17, act)
        assert stream.next().id == ids[0]
    print({name: f"{took * 1000:.1f} ms" for name, took in slowest.items()})
    assert max(slowest.values()) < patience(0.05), slowest
    assert len(pair.writer.rows()) == 16


def test_stopped_while_locked(inbound):
    """What waits is tried for the last time at the end of drain, and told."""
    inbound.writer.connection.execute("BEGIN IMMEDIATE")
    answers = []
    sender = threading.Thread(target=lambda: answers.append(
        refusal(inbound.post(inbound.signed("during"), COMPLETED))
    ))
    sender.start()
    until(lambda: read_inbound_metrics(inbound).value(
        "webhook_connections_open") == 2, "the call to be there")
    inbound.webhook.terminate()
    sender.join(patience(10))
    assert answers == [(503, "database_busy")]
    inbound.writer.connection.execute("COMMIT")
    assert not inbound.writer.rows()


# -- one of a batch ----------------------------------------------------------


@contextlib.contextmanager
def locked(connection):
    """A foreign program has the write lock."""
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def post_together(site, lock, bodies):
    """Posts a body for each job, in this order, while the context `lock` has
    the database's; so they are committed together. Their statuses."""
    statuses, threads, held = {}, [], 0

    def post(job, body):
        statuses[job] = site.post(site.signed(job), body).status

    with lock:
        for job, body in bodies.items():
            threads.append(threading.Thread(target=post, args=(job, body)))
            threads[-1].start()
            held += len(body)
            until(lambda n=held: read_inbound_metrics(site).value(
                "webhook_body_bytes") >= n, "the body to be there")
        # Parsed by the same thread as a long one of them, and after it.
        assert site.post(site.signed("x"), b"{" + b" " * 100_000).status == 400
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.parametrize("raised", ["ROLLBACK, 'not this one'", "IGNORE"])
def test_a_foreign_trigger_refuses_an_event(inbound, raised):
    """The one that it will not have is refused, and no other, whether it ends
    the transaction or passes the row over."""
    inbound.writer.connection.execute(
        "CREATE TRIGGER foreign_one BEFORE INSERT ON job_events"
        " WHEN NEW.job_id = 'job-3'"
        f" BEGIN SELECT RAISE({raised}); END"
    )
    jobs = [f"job-{number}" for number in range(6)]
    statuses = post_together(inbound, locked(inbound.writer.connection),
                             dict.fromkeys(jobs, COMPLETED))
    assert statuses == {**dict.fromkeys(jobs, 200), "job-3": 400}
    stored = [row[1] for row in inbound.writer.rows()]
    assert stored == [job for job in jobs if job != "job-3"]
    assert log_count(inbound.webhook, "commit_failed") == 0
    assert health(inbound) == 200


# -- the disk ----------------------------------------------------------------


def test_database_error(make_site):
    """Writing fails for a reason that is not the disk's space: the WAL may
    only be written as far as the program's log needs."""
    site = make_site(publish_keys=KEY)
    site.start("webhook")
    site.deliver("before", COMPLETED)
    size = 16384  # the tables alone have filled the WAL further
    _, hard = resource.prlimit(site.webhook.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(site.webhook.pid, resource.RLIMIT_FSIZE, (size, hard))
    assert_refused_so(site, 500, "database_error")
    resource.prlimit(site.webhook.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert_well_again(site)
    assert [row[1] for row in site.writer.rows()] == ["before", "during"]


@pytest.fixture(name="small")
def fixture_small(make_site):
    """A site whose responder alone has its database on a small disk, and what
    fills that. What a test stores, and the WAL, must leave the most of it to
    the ballast: or there is no room when that is dropped."""
    site = make_site(publish_keys=KEY, keep_events="1000000", workers="1")
    launcher = [
        *small_disk("64m", site.db_folder), "sh", "-c",
        '"$0" init --config "$3" >/dev/null && exec "$@"', program("jobwire"),
    ]
    site.start("webhook", launcher=launcher)
    return site, Ballast(site.webhook.pid, site.db_folder)


@contextlib.contextmanager
def copy_of(site, ballast):
    """A connection to a copy of the database on the small disk."""
    target = os.path.join(site.root, "copy")
    os.makedirs(target)
    ballast.copy_out(target)
    writer = ForeignWriter(os.path.join(target, "jobwire.db"))
    yield writer
    writer.close()


def fill_up(site, ballast):
    """Until a webhook is refused; what the janitor frees is filled, too."""
    until(
        lambda: ballast.fill() or
        site.post(site.signed("first"), COMPLETED).status == 507,
        "the disk to be full", 20,
    )


def test_database_full(small):
    site, ballast = small
    site.deliver("before", COMPLETED)
    fill_up(site, ballast)
    assert_refused_so(site, 507, "database_full")
    ballast.drop()
    assert_well_again(site)
    with copy_of(site, ballast) as writer:
        assert len(writer.rows("before") + writer.rows("during")) == 2


_LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked_inside(site):
    """A foreign program on the small disk has the write lock."""
    with subprocess.Popen(
        [*inside(site.webhook.pid), sys.executable, "-c", _LOCKER, site.db],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as locker:
        assert locker.stdout.readline() == "locked\n"
        yield
        locker.stdin.close()


def test_one_that_does_not_fit(small):
    """There is room for ordinary ones, and they are stored."""
    site, ballast = small
    site.deliver("before", COMPLETED)
    fill_up(site, ballast)
    ballast.give_back(2 << 20)
    until(lambda: health(site) == 200, "the database to be in use")
    large = b'{"id":"1","status":"COMPLETED","output":"%s"}' % (b"x" * (12 << 20))
    statuses = post_together(site, locked_inside(site), {
        "one": COMPLETED, "two": COMPLETED, "large": large,
    })
    assert statuses == {"one": 200, "two": 200, "large": 507}
    site.deliver("after", COMPLETED)


def test_health_on_a_nearly_full_disk(small):
    """As room comes back bit by bit, it says "well" only when what comes can
    be stored."""
    site, ballast = small
    site.deliver("before", COMPLETED)
    fill_up(site, ballast)
    while health(site) != 200:
        ballast.give_back(4096)
    for number in range(20):
        site.deliver(f"after-{number}", COMPLETED)


def test_full_under_load(small):
    site, ballast = small
    with Senders(site, 8) as senders:
        until(lambda: len(senders.accepted) > 100, "deliveries", 20)
        for _ in range(3):
            seen = senders.refusals.total()
            until(
                lambda s=seen: ballast.fill() or senders.refusals.total() > s,
                "refusals", 20,
            )
            ballast.drop()
            count = len(senders.accepted)
            until(lambda c=count: len(senders.accepted) > c + 50, "more", 20)
    assert set(senders.refusals) <= {
        (507, "database_full"), (500, "database_error")
    }
    with copy_of(site, ballast) as writer:
        assert senders.check_stored(writer) == len(senders.accepted)


LONG = COMPLETED + b" " * 500_000


def test_spool_runs_full(make_site):
    """Large bodies wait for space, small ones need none."""
    site = make_site()
    spool = os.path.join(site.root, "spool")
    os.mkdir(spool)
    site.configure(spool=spool)
    site.start("webhook", launcher=small_disk("1m", spool))
    site.deliver("first", LONG)
    ballast = Ballast(site.webhook.pid, spool)
    ballast.fill()
    for _ in range(3):
        answer = site.post(site.signed("second"), LONG)
        assert refusal(answer) == (507, "spool_full")
        site.deliver("small", COMPLETED)
    ballast.drop()
    site.deliver("second", LONG)
    jobs = [row[1] for row in site.writer.rows()]
    assert jobs == ["first", "small", "second"]


def test_spool_that_cannot_be_written(make_site):
    site = make_site()
    spool = os.path.join(site.root, "spool")
    os.mkdir(spool, 0o555)
    open_to_all(site)
    site.configure(spool=spool)
    site.start("webhook", **unprivileged(site, "webhook"))
    answer = site.post(site.signed("large"), LONG)
    assert refusal(answer) == (507, "spool_full")
    site.deliver("small", COMPLETED)
    os.chmod(spool, 0o777)
    site.deliver("large", LONG)
    assert os.listdir(spool) == []


# -- other writers -----------------------------------------------------------


def test_a_foreign_writer_never_fails(inbound):
    """Plain Python, five seconds of patience, beside 32 connections that
    deliver without pause."""
    connection = sqlite3.connect(inbound.db, timeout=5)
    slowest, count = 0.0, 0
    with Senders(inbound, 32) as senders:
        until(lambda: len(senders.accepted) > 32, "deliveries", 20)
        begun = time.monotonic()
        while count < 200 or time.monotonic() - begun < 3:
            at = time.monotonic()
            with connection:
                connection.execute(
                    "INSERT INTO job_events(job_id, type) VALUES('mine', 'x')"
                )
            slowest, count = max(slowest, time.monotonic() - at), count + 1
        seconds = time.monotonic() - begun
        delivered = len(senders.accepted)
    connection.close()
    assert not senders.refusals
    print(
        f"{count} foreign commits beside {delivered / seconds:.0f} deliveries/s,"
        f" the slowest {slowest * 1000:.0f} ms"
    )
    assert len(inbound.writer.rows("mine")) == count
    inbound.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'mine'")
    senders.check_stored()

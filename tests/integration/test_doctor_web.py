"""`jobwire doctor URL`: what it says of the shipped examples, and of each way
to break them. A broken configuration is the example with something changed."""

import json
import os
import re
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from harness.doctor import examine
from harness.fronts import PUBLISH_KEY, WAYS, Front
from harness.site import program
from harness.wait import free_port, patience, until

JWT_KEY = "jwt-key-0123456789abcdef0123456789abcdef"

GAP = f"{patience(200):.0f}ms"


def ask(front, *arguments):
    """The doctor's findings about a running front."""
    scheme = "https" if "http2" in front.name else "http"
    return examine(
        front.site, f"{scheme}://localhost:{front.web.port}", "--gap", GAP,
        *arguments,
    )


OF_THE_WEB = [
    "server", "events", "buffered", "compressed", "headers", "authorization",
    "body",
]


@pytest.mark.parametrize("name", [n for n in WAYS if n != "lighttpd-http2"])
def test_all_is_well_with_the_examples(make_site, name):
    front = Front(name, make_site)
    more = []
    if name == "nginx-http2":
        more = ["--ca", front.web.path("tls.pem")]
    findings = ask(front, *more)
    for check in OF_THE_WEB:
        assert findings.one(check).finding == "ok", findings.one(check)
    assert name.split("-")[0] in findings.one("server").text.lower()


def edit(*pairs):
    """An edit of a configuration: each text gives way to the next one."""

    def apply(text):
        for old, new in zip(pairs[::2], pairs[1::2]):
            assert old in text, old
            text = text.replace(old, new)
        return text

    return apply


LOAD_DEFLATE = """
LoadModule filter_module ${JOBWIRE_MODULES}/mod_filter.so
LoadModule deflate_module ${JOBWIRE_MODULES}/mod_deflate.so
# --- The site"""

# (way, check, finding, the directive it names, edit)
BROKEN = {
    "nginx buffers": (
        "nginx", "buffered", "fail", "fastcgi_buffering off;",
        edit("fastcgi_buffering off;",
             "fastcgi_buffering on; fastcgi_ignore_headers X-Accel-Buffering;"),
    ),
    "mod_proxy_fcgi buffers": (
        "apache-proxy", "buffered", "fail", "flushpackets=on",
        edit("flushpackets=on ", ""),
    ),
    "mod_fcgid buffers": (
        "apache-fcgid", "buffered", "fail", "FcgidOutputBufferSize 0",
        edit("FcgidOutputBufferSize 0", "#"),
    ),
    "lighttpd buffers": (
        "lighttpd", "buffered", "fail", "server.stream-response-body = 1",
        edit("server.stream-response-body = 1", "#"),
    ),
    "nginx compresses": (
        "nginx", "compressed", "warn", "gzip off;",
        edit("gzip off;", "gzip on; gzip_types text/event-stream;"
             " gzip_min_length 0;"),
    ),
    "mod_deflate compresses": (
        "apache-proxy", "compressed", "warn", "SetEnv no-gzip 1",
        edit("SetEnv no-gzip 1", "SetOutputFilter DEFLATE",
             "\n# --- The site", LOAD_DEFLATE),
    ),
    "nginx drops Authorization": (
        "nginx", "authorization", "fail", "fastcgi_param HTTP_AUTHORIZATION",
        edit("fastcgi_param REMOTE_ADDR",
             'fastcgi_param HTTP_AUTHORIZATION ""; fastcgi_param REMOTE_ADDR'),
    ),
    "mod_proxy_fcgi drops Authorization": (
        "apache-proxy", "authorization", "fail", "CGIPassAuth On",
        edit("CGIPassAuth On", "CGIPassAuth Off"),
    ),
    "CGI drops Authorization": (
        "apache-cgi", "authorization", "fail", "CGIPassAuth On",
        edit("CGIPassAuth On", ""),
    ),
    "nginx limits bodies": (
        "nginx", "body", "fail", "client_max_body_size 32m;",
        edit("client_max_body_size 32m;", ""),
    ),
    "mod_fcgid limits bodies": (
        "apache-fcgid", "body", "fail", "FcgidMaxRequestLen 34603008",
        edit("FcgidMaxRequestLen 34603008", ""),
    ),
    "Apache limits bodies": (
        "apache-cgi", "body", "fail", "LimitRequestBody 33554432",
        edit("SetEnv no-gzip 1", "SetEnv no-gzip 1\nLimitRequestBody 1048576"),
    ),
    "lighttpd limits bodies": (
        "lighttpd", "body", "fail", "server.max-request-size = 32768",
        edit("server.max-request-size = 32768", "server.max-request-size = 1024"),
    ),
    "nginx does not pass on streams": (
        "nginx", "events", "fail", "nginx.conf.example",
        edit("location /api/v1/events", "location /api/v2/events",
             "location /api/v1/ ", "location /api/v1/jobs "),
    ),
    "nginx confuses the programs": (
        "nginx", "authorization", "fail", "nginx.conf.example",
        edit("jobwire_publish;\n        default", "jobwire_events;\n        default"),
    ),
    "Apache does not pass on": (
        "apache-proxy", "events", "fail", "apache.conf.example",
        edit("^(/api/v1/|", "^(/elsewhere/|"),
    ),
    "lighttpd does not pass on": (
        "lighttpd", "events", "fail", "lighttpd.conf.example",
        edit("^(/api/v1/|", "^(/elsewhere/|"),
    ),
    "nginx changes Cache-Control": (
        "nginx", "headers", "warn", "fastcgi_hide_header",
        edit("gzip off;", "gzip off; fastcgi_hide_header Cache-Control;"),
    ),
    "Apache falls back to HTTP/1.0": (
        "apache-proxy", "server", "warn", "downgrade-1.0",
        edit("SetEnv no-gzip 1",
             "SetEnv no-gzip 1\n SetEnv downgrade-1.0 1\n"
             " SetEnv force-response-1.0 1"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_names_the_directive(make_site, name):
    """And no other server's, and finds no other fault."""
    way, check, finding, directive, change = BROKEN[name]
    front = Front(way, make_site, change)
    findings = ask(front)
    fault = findings.of(check)[-1]
    assert fault.finding == finding and directive in fault.remedy
    for server in ("nginx", "Apache", "lighttpd", "Caddy", "HAProxy"):
        assert (server in fault.remedy.replace(f"{server.lower()}.conf", "")
                ) == way.startswith(server.lower())
    wrong = {c for c in findings.faults() if c in OF_THE_WEB}
    assert wrong == {check}


# (way, the directive it names, edit). A heartbeat comes too late for them.
IMPATIENT = {
    "nginx": (
        "nginx", "fastcgi_read_timeout",
        edit("fastcgi_read_timeout 90s", "fastcgi_read_timeout 2s"),
    ),
    "mod_proxy_fcgi": (
        "apache-proxy", "timeout=90", edit("timeout=90", "timeout=2"),
    ),
    "mod_fcgid": (
        "apache-fcgid", "FcgidIOTimeout 90",
        edit("FcgidIOTimeout 90", "FcgidIOTimeout 2"),
    ),
    "CGI": (
        "apache-cgi", "CGIDScriptTimeout 90",
        edit("CGIDScriptTimeout 90", "CGIDScriptTimeout 2"),
    ),
    "lighttpd": (
        "lighttpd", '"read-timeout"',
        edit('"tcp-fin-propagate"', '"read-timeout" => 2, "tcp-fin-propagate"'),
    ),
}


@pytest.mark.parametrize("name", IMPATIENT)
def test_a_silent_stream_is_cut(make_site, name):
    way, directive, change = IMPATIENT[name]
    front = Front(way, make_site, change, heartbeat="1h")
    fault = ask(front, "--idle", "15s").one("cut")
    assert fault.finding == "fail" and directive in fault.remedy
    assert re.search(r"\b[1-9]\.\d s of silence", fault.text), fault


def test_heartbeats_keep_a_stream_open(make_site):
    front = Front("nginx", make_site, heartbeat="300ms")
    findings = ask(front, "--idle", "2s")
    assert findings.of("cut") == [] and findings.faults().keys().isdisjoint(
        OF_THE_WEB
    )
    found = findings.one("idle")
    assert found.finding == "ok" and "2.0 s" in found.text


def test_missing_heartbeats(make_site):
    """The programs run with other settings than these."""
    front = Front("nginx", make_site, heartbeat="1h")
    front.site.configure(publish_keys=PUBLISH_KEY, heartbeat="500ms")
    assert ask(front, "--idle", "2s").one("idle").finding == "fail"


def test_the_end_of_a_lifetime_is_no_cut(make_site):
    front = Front("nginx", make_site, lifetime="1s")
    found = ask(front, "--idle", "5s").one("cut")
    assert found.finding == "ok" and "lifetime" in found.text


# -- who reads and who publishes -----------------------------------------------


def test_another_publish_key(make_site):
    """Is told from a key that does not arrive."""
    front = Front("nginx", make_site)
    front.site.configure(publish_keys="another-key-0123456789abcdef")
    fault = ask(front).one("authorization")
    assert fault.finding == "fail" and "SIGHUP" in fault.remedy


def test_no_publish_key(make_site):
    front = Front("nginx", make_site, publish_keys=None)
    assert ask(front).one("authorization").finding == "ok"


@pytest.mark.parametrize("mode", ["jwt", "ticket"])
def test_tokens(make_site, mode):
    front = Front("nginx", make_site, events_auth=mode, jwt_key=JWT_KEY)
    assert ask(front).faults().keys().isdisjoint(OF_THE_WEB)


def test_a_token_that_is_not_passed_on(make_site):
    change = edit("CGIPassAuth On", "")
    front = Front(
        "apache-proxy", make_site, change, events_auth="jwt", jwt_key=JWT_KEY
    )
    fault = ask(front).one("events")
    assert "token_missing" in fault.text and "CGIPassAuth On" in fault.remedy


def test_another_token_key(make_site):
    front = Front("nginx", make_site, events_auth="jwt", jwt_key=JWT_KEY)
    front.site.configure(
        publish_keys=PUBLISH_KEY, events_auth="jwt", jwt_key=JWT_KEY[::-1]
    )
    fault = ask(front).one("events")
    assert "token_invalid" in fault.text and "jwt_key" in fault.remedy


def test_no_key_to_make_a_token_with(make_site, tmp_path):
    """Public keys check tokens and make none."""
    files = {name: str(tmp_path / name) for name in ("private", "public")}
    for command in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-out", files["private"]],
        ["pkey", "-in", files["private"], "-pubout", "-out", files["public"]],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    os.chmod(files["public"], 0o644)
    front = Front(
        "nginx", make_site, events_auth="jwt", jwt_alg="ES256",
        jwt_key=f"@{files['public']}",
    )
    assert "--key" in ask(front).one("events").remedy
    findings = ask(front, "--key", f"@{files['private']}")
    assert findings.faults().keys().isdisjoint(OF_THE_WEB)


def test_users_of_the_web_server(make_site):
    """events_auth = server: with a password in the URL the doctor reads what
    is his."""
    change = edit("fastcgi_param REMOTE_ADDR",
                  "fastcgi_param REMOTE_USER $remote_user;\n"
                  "fastcgi_param REMOTE_ADDR")
    front = Front("nginx", make_site, change, events_auth="server")
    fault = ask(front).one("events")
    assert "not_authenticated" in fault.text
    url = f"http://anna:secret@localhost:{front.web.port}"
    findings = examine(front.site, url, "--gap", GAP)
    assert findings.faults().keys().isdisjoint(OF_THE_WEB)


def test_a_password_of_the_web_server(make_site):
    change = edit("location /api/v1/events {",
                  'location /api/v1/events { auth_basic "x";'
                  " auth_basic_user_file /dev/null;")
    fault = ask(Front("nginx", make_site, change)).one("events")
    assert "password" in fault.text and "user:password@" in fault.remedy


# -- what else can be in the way -------------------------------------------------


def test_a_program_that_is_away(make_site):
    front = Front("nginx", make_site)
    front.site.events.kill()
    front.site.webhook.kill()
    findings = ask(front)
    for check in ("events", "authorization", "webhook"):
        fault = findings.one(check)
        assert "502" in fault.text and "fastcgi_pass" in fault.remedy
    assert findings.of("buffered") == []


def test_no_server(make_site):
    site = make_site()
    url = f"http://127.0.0.1:{free_port()}"
    fault = examine(site, url).one("events")
    assert fault.finding == "fail" and "no answer" in fault.text


def test_an_unknown_certificate(make_site):
    fault = ask(Front("nginx-http2", make_site)).one("events")
    assert "certificate" in fault.text


def test_another_database(make_site):
    front = Front("nginx", make_site)
    other = make_site(publish_keys=PUBLISH_KEY)
    url = f"http://localhost:{front.web.port}"
    fault = examine(other, url, "--gap", GAP).one("stream")
    assert fault.finding == "fail"
    assert front.site.writer.epoch() in fault.text


def test_a_full_server(make_site):
    front = Front("nginx", make_site, max_streams="1")
    with front.stream("a") as stream:
        stream.wait_open()
        fault = ask(front).one("stream")
        assert "max_streams" in fault.remedy


def test_a_redirection(make_site):
    change = edit("location /api/v1/events {",
                  "location /api/v1/events { return 301 https://x.example$uri;")
    fault = ask(Front("nginx", make_site, change)).one("events")
    assert "https://x.example/" in fault.text


def test_origins(make_site):
    front = Front("nginx", make_site, cors_origins="https://a.example")
    found = ask(front, "--origin", "https://a.example").one("cors")
    assert found.finding == "ok"
    fault = ask(front, "--origin", "https://b.example").one("cors")
    assert fault.finding == "fail" and "cors_origins" in fault.remedy


def test_an_origin_twice(make_site):
    change = edit("gzip off;", "gzip off; add_header"
                  " Access-Control-Allow-Origin https://a.example always;")
    front = Front("nginx", make_site, change, cors_origins="https://a.example")
    fault = ask(front, "--origin", "https://a.example").one("cors")
    assert fault.finding == "fail" and "own" in fault.text


def test_an_unknown_server(make_site):
    """The remedies of all servers; and Python's speaks HTTP/1.0."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        findings = examine(
            make_site(), f"http://127.0.0.1:{server.server_port}/jobs/v2/"
        )
        server.shutdown()
    assert findings.one("server").finding == "warn"
    for name in ("nginx", "Apache", "lighttpd", "Caddy", "HAProxy"):
        assert name in findings.one("events").remedy


def test_a_path_in_the_url(make_site):
    """Is taken for the prefix."""
    front = Front("nginx", make_site)
    for path in ("/", "/api/v1", "/api/v1/"):
        url = f"http://localhost:{front.web.port}{path}"
        assert examine(front.site, url, "--gap", GAP).one("buffered")


@pytest.mark.parametrize(
    "arguments",
    [["localhost"], ["ftp://localhost"], ["http://localhost?x=1"], ["http://"],
     ["http://localhost", "http://localhost"],
     ["http://localhost", "--gap", "0s"], ["http://localhost", "--idle", "x"]],
    ids=" ".join,
)
def test_wrong_usage(make_site, arguments):
    done = make_site().tool("doctor", *arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr


# -- what stays ---------------------------------------------------------------


def jobs_of(site):
    """All jobs, and all events."""
    query = site.writer.connection.execute
    return query(
        "SELECT job_id FROM jobs UNION ALL SELECT job_id FROM job_events"
    ).fetchall()


def test_it_leaves_no_job(make_site):
    front = Front("nginx", make_site)
    assert ask(front).one("buffered").finding == "ok"
    assert jobs_of(front.site) == []


def test_it_leaves_no_job_after_a_failure(make_site):
    site = make_site()
    assert examine(
        site, f"http://127.0.0.1:{free_port()}"
    ).one("events").finding == "fail"
    assert jobs_of(site) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_no_job_after_an_interrupt(make_site, number):
    """It dies of the signal, as a shell expects, when the job is gone; and
    what it had not looked at to the end is no fault."""
    front = Front("nginx", make_site)
    site = front.site
    url = f"http://localhost:{front.web.port}"
    with subprocess.Popen(
        [program("jobwire"), "doctor", url, "--gap", GAP, "--idle", "1h",
         "--json", "--config", site.config],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:
        until(lambda: len(site.writer.rows()) == 2, "two events", 20)
        child.send_signal(number)
        out, err = child.communicate(timeout=patience(20))
    assert (child.returncode, err) == (-number, "")
    found = {json.loads(line)["check"] for line in out.splitlines()}
    assert "events" in found and "buffered" not in found
    assert jobs_of(site) == []


# -- without a URL ------------------------------------------------------------


def test_base_url_is_the_site(make_site):
    front = Front("nginx", make_site)
    assert examine(front.site, "--gap", GAP).of("server") == []
    front.site.configure(
        publish_keys=PUBLISH_KEY, heartbeat="1s", max_streams="30",
        base_url=f"http://localhost:{front.web.port}",
    )
    findings = examine(front.site, "--gap", GAP)
    for check in OF_THE_WEB:
        assert findings.one(check).finding == "ok", findings.one(check)
    assert jobs_of(front.site) == []


def test_a_base_url_that_is_not_reached(make_site):
    site = make_site(base_url=f"http://127.0.0.1:{free_port()}")
    fault = examine(site).one("events")
    assert "no answer" in fault.text and "jobwire doctor URL" in fault.remedy


def test_it_does_not_ask_without_a_database(make_site):
    fault = examine(make_site(init=False), "http://localhost:1").one("server")
    assert fault.finding == "fail"

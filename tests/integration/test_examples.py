"""examples/sites: a site in each framework, as docs/migrate.md has them, beside
a real nginx. A user of its session starts a job and sees it move, by a ticket
or by REMOTE_USER; others do not."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest
from harness import leaks
from harness.inbound import KEY
from harness.nginx import Nginx
from harness.process import read_text
from harness.site import BIN, PREFIX, source_root
from harness.sse import Stream, data_of
from harness.tokens import HS_SECRET
from harness.wait import free_port, patience, until

SITES = os.path.join(source_root(), "examples", "sites")
PUBLISH = os.path.join(source_root(), "publish")
CLIENT = os.path.join(BIN, "..", "client")
DOCUMENT = os.path.join(source_root(), "docs", "migrate.md")
NODE_MODULES = "/usr/share/nodejs"  # Debian's
COMPLETED = [("progress", 25), ("progress", 50), ("progress", 75), ("completed", None)]
PYTHON = "/usr/bin/python3"


def need(program_name, *probe):
    """Skips where the program, or what the probe asks it for, is missing."""
    if shutil.which(program_name) is None:
        pytest.skip(f"no {program_name}")
    if probe and subprocess.run(
        [program_name, *probe], capture_output=True, check=False,
        timeout=patience(20), stdin=subprocess.DEVNULL,
    ).returncode:
        pytest.skip(f"{program_name} has not what this needs: {' '.join(probe)}")


def fastapi(_, port):
    need(PYTHON, "-c", "import fastapi, uvicorn, itsdangerous")
    return [PYTHON, "-m", "uvicorn", "with_fastapi:app", "--port", str(port)]


def django(_, port):
    need(PYTHON, "-c", "import django")
    return [PYTHON, "with_django.py", "runserver", "--noreload", str(port)]


def php(site, port):
    need("php", "-r", 'exit(extension_loaded("pdo_sqlite") ? 0 : 1);')
    return ["php", "-d", f"session.save_path={site.root}", "-S",
            f"127.0.0.1:{port}", "with_php.php"]


def express(site, _):
    """npm would put both packages into node_modules."""
    need("node")
    if not os.path.isdir(os.path.join(NODE_MODULES, "express")):
        pytest.skip("no node-express")
    modules = os.path.join(site.root, "site", "node_modules")
    os.makedirs(modules)
    os.symlink(os.path.join(NODE_MODULES, "express"), os.path.join(modules, "express"))
    os.symlink(os.path.join(PUBLISH, "node"), os.path.join(modules, "jobwire-publish"))
    for name in ("with_express.mjs", "page.html"):
        shutil.copy(os.path.join(SITES, name), os.path.dirname(modules))
    return ["node", os.path.join(os.path.dirname(modules), "with_express.mjs")]


def add_to_nginx(web, port, auth):
    """The lines of docs/migrate.md, with this site's port; and where the client is, which jobwire's
    own part of a configuration says as it is installed."""
    ours = read_text(os.path.join(SITES, "nginx-server.conf"))
    ours = ours.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    ours += f"location /jobwire/ {{ alias {CLIENT}/; }}\n"

    def edit(text):
        text = text.replace("        location @later {", ours + "        location @later {")
        if auth == "server":
            said = read_text(DOCUMENT)
            fields = re.search(r"(?m)^ +fastcgi_param REMOTE_USER.*$", said)[0]
            asks = re.search(r"(?m)^ +auth_request /whoami;\n +auth_request_set.*$", said)[0]
            text = text.replace("    fastcgi_param REMOTE_ADDR",
                                fields + "\n    fastcgi_param REMOTE_ADDR")
            text = text.replace("location /api/v1/events {",
                                "location /api/v1/events {\n" + asks)
        return text

    web.prepare()
    web.rewrite(edit)


class Shop:
    """A framework's site, with jobwire behind the same nginx."""

    def __init__(self, site, command, auth):
        site.configure(events_auth=auth, publish_keys=KEY, jwt_key=HS_SECRET)
        site.start_both()
        port = free_port()
        self.web = Nginx(site)
        add_to_nginx(self.web, port, auth)
        self.web.start()
        self._command = command(site, port)
        self._site = site
        self._port = port

    def start(self):
        """Starts the framework's server."""
        server = self._site.run_command(
            "site", ["env", f"JOBWIRE_DB={self._site.db}", f"PORT={self._port}",
                     f"JOBWIRE_URL=http://127.0.0.1:{self.web.port}{PREFIX}",
                     f"PUBLISH_KEY={KEY}", f"JWT_KEY={HS_SECRET}",
                     f"PYTHONPATH={PUBLISH}/python", f"NODE_PATH={NODE_MODULES}",
                     f"JOBWIRE_PHP={PUBLISH}/php/Jobwire.php",
                     "PYTHONDONTWRITEBYTECODE=1", *self._command], cwd=SITES,
        )
        server.good_statuses = {0, -15}  # each server's own way to go
        until(lambda: self._listens(server), "the site to be ready", 20)
        return self

    def _listens(self, server):
        assert server.is_alive(), server.log_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def visit(self):
        """A browser without cookies."""
        return Browser(self.web)


class Browser:
    """Keeps cookies, and sends what the page's post() does."""

    def __init__(self, web):
        self._web = web
        self.cookies = {}

    def _headers(self):
        headers = {"Origin": "http://localhost",
                   "X-CSRFToken": self.cookies.get("csrftoken", "")}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        return headers

    def call(self, method, path):
        """The whole answer."""
        body = b"" if method == "POST" else None
        answer = self._web.endpoint.call(method, path, self._headers(), body)
        for part in re.split(r",\s*(?=\w+=)", answer.headers.get("set-cookie", "")):
            name, _, value = part.partition(";")[0].partition("=")
            if name:
                self.cookies[name] = value
        return answer

    def login(self, name):
        """Signs in, after a look at the page."""
        page = self.call("GET", "/")
        assert page.status == 200 and b"jobwire.global.js" in page.body
        assert self.call("POST", f"/login?name={name}").json() == {"user": name}
        return self

    def get(self, path, key):
        """That member of what the POST answers."""
        answer = self.call("POST", path)
        assert answer.status == 200, answer
        return answer.json()[key]

    def ticket(self):
        return self.get("/ticket", "ticket")

    def stream(self, job, query=""):
        """What an EventSource gets."""
        return Stream(self._web.endpoint, f"{PREFIX}/events/{job}?{query}", self._headers())


def progress_of(events):
    """(type, progress) of each."""
    return [(e.event, data_of(e).get("progress")) for e in events]


FRAMEWORKS = [fastapi, django, php, express]


@pytest.mark.parametrize("command", FRAMEWORKS, ids=lambda each: each.__name__)
def test_a_ticket_of_the_session(make_site, command):
    """Who is signed in gets tickets for his own jobs, each good once."""
    shop = Shop(make_site(), command, "ticket").start()
    stranger, alice, bob = shop.visit(), shop.visit().login("alice"), shop.visit().login("bob")
    stranger.call("GET", "/")
    assert [stranger.call("POST", path).status for path in ("/start", "/ticket")] == [401, 401]
    job, ticket = alice.get("/start", "job_id"), alice.ticket()
    with alice.stream(job, f"ticket={ticket}") as stream:
        assert progress_of(stream.wait_end(20)) == COMPLETED
    with alice.stream(job, f"ticket={ticket}") as again:
        assert again.status == 401
    with bob.stream(job, f"ticket={bob.ticket()}") as foreign:
        assert foreign.status == 403
    with stranger.stream(job) as stream:
        assert stream.status == 401


@pytest.mark.parametrize("command", FRAMEWORKS, ids=lambda each: each.__name__)
def test_remote_user_of_the_session(make_site, command):
    """nginx asks the site whose cookie it is: a page needs nothing else."""
    shop = Shop(make_site(), command, "server").start()
    stranger, alice, bob = shop.visit(), shop.visit().login("alice"), shop.visit().login("bob")
    job = alice.get("/start", "job_id")
    with alice.stream(job) as stream:
        assert progress_of(stream.wait_end(20)) == COMPLETED
    with bob.stream(job) as foreign:
        assert foreign.status == 403
    with stranger.stream(job) as stream:
        assert stream.status == 401
    assert alice.call("GET", "/whoami").status == 404  # nginx alone may ask


def test_the_page_has_its_client(make_site):
    """What the page's script names is where nginx has it."""
    if not os.path.exists(os.path.join(CLIENT, "jobwire.global.js")):
        pytest.skip("no client in build/: make client")
    site = make_site()
    web = Nginx(site)
    add_to_nginx(web, free_port(), "ticket")
    web.start()
    name = re.search(r'<script src="([^"]+)">', read_text(os.path.join(SITES, "page.html")))[1]
    answer = web.endpoint.call("GET", name)
    assert answer.status == 200 and b"subscribe" in answer.body
    assert answer.headers["content-type"] == "text/javascript"


def test_ruby(make_site):
    """The half of a Rails site that speaks with jobwire."""
    need("ruby", "-e", "exit RUBY_VERSION >= '2.7'")
    site = make_site()
    site.configure(events_auth="ticket", publish_keys=KEY, jwt_key=HS_SECRET)
    site.start_both()
    web = Nginx(site).start()
    key_file = os.path.join(site.root, "publish.key")
    with open(key_file, "w", encoding="ascii") as file:
        file.write(KEY + "\n")
    done = subprocess.run(
        ["ruby", "-w", "-r./jobwire", "-e", """
         jw = Jobwire.new(ARGV[0], key: ARGV[1], jwt_key: ARGV[2])
         job = jw.register("alice")
         2.times { jw.publish(job, "progress", { progress: 40 }, idempotency_key: "a") }
         jw.publish(job, "completed")
         puts job, jw.ticket("alice"), jw.ticket("bob")
         begin
           jw.publish(job, "resync")
         rescue Jobwire::Error => error
           puts error.message
         end
         """, f"http://127.0.0.1:{web.port}{PREFIX}", f"@{key_file}", HS_SECRET],
        cwd=SITES, capture_output=True, text=True, check=False, timeout=patience(20),
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    job, ticket, foreign, refusal = done.stdout.splitlines()
    assert "400" in refusal and "bad_type" in refusal
    target = f"{PREFIX}/events/{job}?ticket="
    with Stream(web.endpoint, target + leaks.secret(ticket)) as stream:
        assert progress_of(stream.wait_end()) == [("progress", 40), ("completed", None)]
    with Stream(web.endpoint, target + leaks.secret(foreign)) as stream:
        assert stream.status == 403


CHECKERS = {  # reads the code from standard input
    "php": ["php", "-l"],
    "ruby": ["ruby", "-c"],
    "sh": ["bash", "-n"],
    "python": [PYTHON, "-c", "import ast, sys; ast.parse(sys.stdin.read())"],
}


@pytest.mark.parametrize("language", CHECKERS)
def test_code_of_the_document_is_whole(language):
    """What somebody copies out of docs/migrate.md parses."""
    need(CHECKERS[language][0])
    found = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", read_text(DOCUMENT))
    assert found
    for indent, text in found:
        code = re.sub(rf"(?m)^{indent}", "", text)
        if language == "php" and not code.startswith("<?php"):
            is_method = code.startswith("public ")
            code = "<?php\n" + (f"class A {{ {code} }}" if is_method else code)
        done = subprocess.run(
            CHECKERS[language], input=code, capture_output=True, text=True,
            check=False, timeout=patience(20),
        )
        assert done.returncode == 0, code + done.stdout + done.stderr


# Just enough of each framework for its recipe to be called: no network is
# asked for the real one. `route` gives what a POST answers.
STUBS = {
    "Laravel": r"""
namespace Illuminate\Http { class Request {
    function user() { return (object) ['id' => 7]; }
} }
namespace App\Jobs { class RestorePhoto {
    static function dispatch($job) { (new \Work($job))->handle($GLOBALS['jw']); }
} }
namespace {
require $argv[1];
$jw = Jobwire\connect($argv[2]);
class Route {
    static array $of = [];
    static function middleware($name) { return new self(); }
    function group($routes) { $routes(); }
    static function post($path, $answer) { self::$of[$path] = $answer; }
    static function get($path, $answer) { }
}
class Work { function __construct(private string $job) { } function restore() { return ['pages' => 3]; }
%(handle)s }
function route($path) { return (Route::$of[$path])(new Illuminate\Http\Request(), $GLOBALS['jw']); }
%(routes)s
""",
    "WordPress": r"""
namespace {
$hooks = $routes = [];
function add_action($name, $call) { $GLOBALS['hooks'][$name] = $call; }
function add_shortcode($name, $call) { }
function register_rest_route($space, $name, $o) { $GLOBALS['routes'][$name] = $o; }
function is_user_logged_in() { return true; }
function get_current_user_id() { return 7; }
function wp_schedule_single_event($time, $hook, $args) { ($GLOBALS['hooks'][$hook])(...$args); }
function route($path) { $r = $GLOBALS['routes'][$path]; return $r['permission_callback']() ? $r['callback']() : null; }
%(plugin)s
$hooks['rest_api_init']();
""",
}


def recipe(framework):
    """The document's code of a framework, with its stub, as one program."""
    section = read_text(DOCUMENT).split(f"\n## {framework}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?ms)^```php\n(.*?)^```$", section)
    if framework == "Laravel":
        return STUBS[framework] % {"routes": found[1], "handle": found[2]}
    plugin = found[0].removeprefix("<?php\n")
    plugin = plugin.replace("__DIR__ . '/Jobwire.php'", "$argv[1]")
    return STUBS[framework] % {"plugin": plugin.replace(
        "'/var/lib/jobwire/jobwire.db'", "$GLOBALS['argv'][2]")}


@pytest.mark.parametrize("framework", STUBS)
def test_recipe(make_site, framework):
    """The document's calls start a job of that user, and let him read it."""
    need("php", "-r", 'exit(extension_loaded("pdo_sqlite") ? 0 : 1);')
    site = make_site(events_auth="ticket", jwt_key=HS_SECRET).start_both()
    path = os.path.join(site.root, "recipe.php")
    with open(path, "w", encoding="utf-8") as file:
        file.write("<?php\n" + recipe(framework) + """
echo json_encode([route('/start')['job_id'], route('/ticket')['ticket']]);
}
""")
    done = subprocess.run(
        ["php", path, os.path.join(PUBLISH, "php", "Jobwire.php"), site.db],
        capture_output=True, text=True, check=False, timeout=patience(20),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    job, ticket = json.loads(done.stdout)
    with site.stream(job, f"ticket={leaks.secret(ticket)}") as stream:
        assert progress_of(stream.wait_end()) == [("progress", 40), ("completed", None)]

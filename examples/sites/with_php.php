<?php
// SPDX-License-Identifier: ISC
// A PHP site whose users see their jobs move: docs/migrate.md.
//
//     php -S 127.0.0.1:8000 with_php.php
//
// Debian: php-cli php-sqlite3

declare(strict_types=1);

require getenv('JOBWIRE_PHP') ?: __DIR__ . '/Jobwire.php';

$jw = Jobwire\connect(getenv('JOBWIRE_DB') ?: '/var/lib/jobwire/jobwire.db');

if (PHP_SAPI === 'cli') { // php with_php.php JOB: the work itself, in a process of its own
    foreach ([25, 50, 75] as $percent) {
        usleep(200_000);
        $jw->publish($argv[1], 'progress', ['progress' => $percent]);
    }
    $jw->publish($argv[1], 'completed', ['output' => ['pages' => 3]]);
    exit;
}

/** Yours: whoever the session says it is. */
function currentUser(): string
{
    if (!isset($_SESSION['user'])) {
        http_response_code(401);
        exit;
    }
    return $_SESSION['user'];
}

function answer(array $value): void
{
    header('Content-Type: application/json');
    echo json_encode($value);
}

session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Lax']);
switch ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case 'GET /':
        readfile(__DIR__ . '/page.html');
        break;
    case 'POST /login': // stands for your log-in: it asks for no password
        session_regenerate_id(true);
        $_SESSION['user'] = $_GET['name'];
        answer(['user' => $_GET['name']]);
        break;
    case 'POST /start':
        $job = $jw->register(owner: currentUser())['job_id'];
        exec('php ' . escapeshellarg(__FILE__) . ' ' . escapeshellarg($job) . ' >/dev/null 2>&1 &');
        answer(['job_id' => $job]);
        break;
    case 'POST /ticket': // for `events_auth = ticket`: one request of this user's page
        answer(['ticket' => $jw->ticket(currentUser())]);
        break;
    case 'GET /whoami': // for `events_auth = server`: nginx asks who sent this cookie
        header('X-User: ' . currentUser());
        http_response_code(204);
        break;
    default:
        http_response_code(404);
}

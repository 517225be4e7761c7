<?php

// SPDX-License-Identifier: ISC

/*
 * An example for your own site: who knows the password restores photos. All
 * that PHP does is to say who somebody is, by a token in a cookie; page.js
 * starts, follows and cancels the jobs of whoever the token names.
 */

declare(strict_types=1);

// The folder with Jobwire.php and the keys. Not one that the web server gives out.
const JOBWIRE = __DIR__ . '/../../jobwire';

// Yours: whoever your own log-in says it is. Jobs belong to this name.
const USER = 'me';

const HOURS = 12; // that a visitor may restore without the password

function fail(string $why): never
{
    http_response_code(500);
    header('Content-Type: text/plain; charset=utf-8');
    exit("$why\n");
}

/** The path of a file in the folder, with something in it. */
function needed(string $name, int $least = 1): string
{
    $path = JOBWIRE . "/$name";
    $text = is_readable($path) ? trim((string) file_get_contents($path)) : '';
    if (strlen($text) < $least) {
        fail("jobwire/$name is missing, may not be read by PHP, or is shorter than $least characters: see INSTALL.txt.");
    }
    return $path;
}

if (PHP_VERSION_ID < 80100) {
    fail('PHP 8.1 or later is needed, and this is ' . PHP_VERSION . ': the control panel may have a choice.');
}
require needed('Jobwire.php');
$key = needed('page.key', 32);
$password = trim(file_get_contents(needed('page.password', 12)));

$isSecure = ($_SERVER['HTTPS'] ?? 'off') !== 'off';
session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Strict', 'cookie_secure' => $isSecure]);
$isWrong = false;
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $isWrong = !hash_equals($password, trim((string) ($_POST['password'] ?? '')));
    if ($isWrong) {
        sleep(1); // for who tries many
    } else {
        session_regenerate_id(true);
        $_SESSION['user'] = USER;
        header('Location: ./', true, 303); // so that a reload sends no password
        exit;
    }
}
if (isset($_SESSION['user'])) {
    $until = time() + HOURS * 3600;
    $jw = Jobwire\connect(JOBWIRE . '/../jobwire-db/jobwire.db', jwtKey: "@$key");
    setcookie('jobwire_token', $jw->token($_SESSION['user'], expiresAt: $until), [
        'expires' => $until, 'path' => '/api/v1', 'httponly' => true, 'samesite' => 'Strict', 'secure' => $isSecure,
    ]);
}
?>
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Restore a photo</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; --page: #f4f5f7; --panel: #fff; --text: #1b2026;
    --quiet: #535d69; --line: #c4c9d0; --accent: #0b5f8f; --on-accent: #fff; --bad: #ab2317; }
  @media (prefers-color-scheme: dark) {
    :root { --page: #12161a; --panel: #1c2228; --text: #e7eaee; --quiet: #a5afba; --line: #46505b; --accent: #79c3f2;
      --on-accent: #0a1c28; --bad: #ff9d92; }
  }
  body { margin: 0; background: var(--page); color: var(--text); }
  main { max-width: 30rem; margin: 0 auto; padding: 1.5rem 1rem; display: grid; gap: 1rem; }
  h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }
  p { margin: 0; }
  form, section { display: grid; gap: .75rem; padding: 1rem; border: 1px solid var(--line); border-radius: .6rem;
    background: var(--panel); }
  [hidden] { display: none !important; }
  label { font-weight: 600; }
  input, button { font: inherit; min-height: 2.75rem; padding: .25rem .75rem; border-radius: .4rem; min-width: 0; }
  input { border: 1px solid var(--quiet); background: transparent; color: inherit; }
  button { border: 1px solid var(--accent); background: var(--accent); color: var(--on-accent); font-weight: 600; }
  button.plain { background: none; color: var(--accent); }
  button:disabled { opacity: .5; }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
  progress { width: 100%; height: .75rem; accent-color: var(--accent); }
  pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
  pre:empty { display: none; }
  .bad:empty { margin-top: -.75rem; }
  #status { font-weight: 600; }
  .quiet { color: var(--quiet); font-size: .875rem; overflow-wrap: anywhere; }
  .bad { color: var(--bad); }
</style>
<?php if (isset($_SESSION['user'])) : ?>
<script type="module" src="page.js"></script>
<?php endif ?>
</head>
<body>
<main>
  <h1>Restore a photo</h1>
<?php if (isset($_SESSION['user'])) : ?>
  <form id="order">
    <label for="image">Where the photo is</label>
    <input id="image" type="url" required value="https://www.example.org/old-photo.jpg">
    <button id="start">Restore it</button>
    <p id="trouble" class="bad" role="alert"></p>
  </form>
  <section id="job" hidden>
    <p id="status" role="status"></p>
    <progress id="bar" max="100" aria-label="Progress"></progress>
    <pre id="details"></pre>
    <button id="cancel" type="button" class="plain">Cancel it</button>
    <p class="quiet">Job <span id="id"></span></p>
  </section>
<?php else : ?>
  <form method="post">
    <label for="password">Password</label>
    <input id="password" name="password" type="password" required autofocus autocomplete="current-password">
    <button>Sign in</button>
    <p class="bad" role="alert"><?= $isWrong ? 'That is not the password.' : '' ?></p>
  </form>
<?php endif ?>
</main>
</body>
</html>

<?php

// SPDX-License-Identifier: ISC

/*
 * Publish events of jobs with jobwire, from PHP 8.1 and later.
 *
 *     $jw = Jobwire\connect('/var/lib/jobwire/jobwire.db');
 *     $jw = Jobwire\connect('https://jobs.example/api/v1', key: PUBLISH_KEY);
 *     $jw->publish('job-1', 'progress', ['progress' => 40]);
 *
 * One file that needs no package; the database needs the extension pdo_sqlite.
 * Install it with Composer, or require it. The same calls are there for Python
 * and Node. Every call blocks: on the disk, or on the server for `timeout`
 * seconds at most.
 */

declare(strict_types=1);

namespace Jobwire;

const VERSION = '0.2.0';

/**
 * Nothing was done, or nobody knows. `errorCode` is one of docs/protocol.md,
 * whichever way the call went; `http_STATUS` where the answer is not jobwire's;
 * `unreachable`; `not_configured` where connect() was given too little.
 * `status` is HTTP's, and `retryAfter` seconds, where there are any.
 */
final class JobwireError extends \RuntimeException
{
    public function __construct(
        public readonly string $errorCode,
        string $message,
        public readonly ?int $status = null,
        public readonly ?int $retryAfter = null,
    ) {
        parent::__construct("$errorCode: $message");
    }
}

/**
 * `target` is the path of the database, or the URL of the HTTP API with its
 * prefix (`https://HOST/api/v1`). Opens nothing yet. The other arguments are
 * each needed by some calls only; keys and secrets are written as in the
 * settings file, `@FILE` included.
 *
 * @param ?string $url the API's URL, where `target` is the database
 * @param ?string $key a publish key
 * @param ?string $webhookSecret for webhookUrl(); the first of several signs
 * @param ?string $jwtKey a secret of HS256, for token() and ticket()
 * @param ?string $jwtIssuer what tokens say, where the settings have it
 * @param ?string $jwtAudience the same
 * @param float $timeout seconds for a call in all, with what is sent again
 */
function connect(
    string $target,
    ?string $url = null,
    #[\SensitiveParameter] ?string $key = null,
    #[\SensitiveParameter] ?string $webhookSecret = null,
    #[\SensitiveParameter] ?string $jwtKey = null,
    ?string $jwtIssuer = null,
    ?string $jwtAudience = null,
    float $timeout = 10.0,
): Jobwire {
    return new Jobwire($target, $url, $key, $webhookSecret, $jwtKey, $jwtIssuer, $jwtAudience, $timeout);
}

/** What connect() makes. */
final class Jobwire
{
    private const DATA_MAX = 1 << 20; // more is stored, but not streamed
    private const PAUSES = [0.2, 1.0, 3.0]; // before a call is sent again

    private ?Database $db = null;
    private string $url;
    private ?string $key;
    private ?string $webhookSecret;
    private ?string $kid;
    private ?string $jwtKey;

    public function __construct(
        string $target,
        ?string $url,
        #[\SensitiveParameter] ?string $key,
        #[\SensitiveParameter] ?string $webhookSecret,
        #[\SensitiveParameter] ?string $jwtKey,
        private ?string $jwtIssuer,
        private ?string $jwtAudience,
        private float $timeout,
    ) {
        if (preg_match('~^https?://~', $target)) {
            $url = $target;
        } else {
            $this->db = new Database($target, $timeout);
        }
        $this->url = rtrim($url ?? '', '/');
        $this->key = Text::firstKey($key);
        $this->webhookSecret = Text::firstKey($webhookSecret);
        [$this->kid, $this->jwtKey] = Text::jwtKey($jwtKey);
    }

    /**
     * Publishes an event; it is on the disk when this returns its id. `data`:
     * an array with names, an object, or the text of a JSON object, which is
     * passed on as it is. With the same `idempotencyKey` a job's event is
     * stored once, and its id returned again (in a cluster null: it is on its
     * way).
     */
    public function publish(
        string $job,
        string $type,
        array|object|string|null $data = null,
        ?string $idempotencyKey = null,
    ): ?string {
        Text::checkJob($job);
        if (in_array($type, ['resync', 'heartbeat', 'expiring'], true)) {
            throw new JobwireError('bad_type', "$type is jobwire's own");
        }
        $text = $data === null ? null : Text::object($data, self::DATA_MAX);
        if ($this->db) {
            return $this->db->publish($job, $type, $text, $idempotencyKey);
        }
        $body = '{"type":' . Text::json($type) . ',"data":' . ($text ?? 'null') . '}';
        $answer = $this->post("/jobs/$job/events", $body, $this->bearer(), $idempotencyKey ?? bin2hex(random_bytes(16)));
        return $answer['event_ids'][0] ?? null;
    }

    /**
     * Registers a job before it starts, without an id under a random one.
     * Returns `job_id`, `events_url` and `webhook_url`; the URLs are null where
     * the API's URL, or the secret, is not known. `endpoint` needs the API.
     */
    public function register(
        ?string $job = null,
        ?string $owner = null,
        ?string $externalId = null,
        ?string $restoreId = null,
        string $provider = 'runpod-completion',
        ?string $endpoint = null,
    ): array {
        $job = $job === null ? bin2hex(random_bytes(16)) : Text::checkJob($job);
        if ($this->db && $endpoint === null) {
            $this->db->register($job, $owner, $externalId, $restoreId);
            $signs = $this->url !== '' && $this->webhookSecret !== null;
            return [
                'job_id' => $job,
                'events_url' => $this->url === '' ? null : "$this->url/events/" . rawurlencode($job),
                'webhook_url' => $signs ? $this->webhookUrl($job, $restoreId ?? '', $provider) : null,
            ];
        }
        return $this->post('/jobs', Text::json([
            'job_id' => $job, 'owner' => $owner, 'external_id' => $externalId,
            'restore_id' => $restoreId, 'provider' => $provider, 'endpoint' => $endpoint,
        ]), $this->bearer());
    }

    /**
     * Lets jobwire start an action of `runpod_actions`, always over the API:
     * with the publish key, or with a user's token where `start_auth` is
     * `owner`. `input` and `policy` as the data of publish(). Returns `job_id`,
     * `run_id`, `restore_id`, `status` and `events_url`.
     */
    public function start(
        string $job,
        string $action,
        array|object|string $input,
        ?string $restoreId = null,
        array|object|string|null $policy = null,
        ?string $idempotencyKey = null,
        #[\SensitiveParameter] ?string $token = null,
    ): array {
        $body = '{"input":' . Text::object($input) . ',"restore_id":' . Text::json($restoreId)
            . ',"policy":' . ($policy === null ? 'null' : Text::object($policy)) . '}';
        return $this->post(
            '/jobs/' . Text::checkJob($job) . '/' . rawurlencode($action),
            $body,
            $token ?? $this->bearer(),
            $idempotencyKey ?? bin2hex(random_bytes(16)),
        );
    }

    /**
     * The URL that a service reports to, signed as `jobwire url` does; good for
     * 24 hours, or until `expiresAt` (seconds since 1970). Without a job for
     * calls that name it in their body. Asks nobody.
     */
    public function webhookUrl(
        string $job = '',
        string $restoreId = '',
        string $provider = 'runpod-completion',
        ?int $expiresAt = null,
    ): string {
        $this->need('url', $this->url);
        $this->need('webhookSecret', $this->webhookSecret);
        if ($job !== '') {
            Text::checkJob($job);
        }
        if (!preg_match('/\A[a-z0-9-]+\z/', $provider)) {
            throw new JobwireError('bad_payload', 'not the name of a provider');
        }
        $exp = $expiresAt ?? time() + 86400;
        $text = "jobwire-webhook-v1\n$provider\n$job\n$restoreId\n$exp";
        $query = [
            'job_id' => $job, 'restore_id' => $restoreId, 'exp' => (string) $exp,
            'sig' => Text::base64url(hash_hmac('sha256', $text, $this->webhookSecret, true)),
        ];
        $parts = [];
        foreach (array_filter($query, fn ($value) => $value !== '') as $name => $value) {
            $parts[] = "$name=" . rawurlencode($value);
        }
        return "$this->url/webhooks/$provider?" . implode('&', $parts);
    }

    /**
     * A JSON Web Token (HS256) for `events_auth = jwt` or `ticket`: `sub` reads
     * its own jobs and those in `jobs`, for an hour or until `expiresAt`. Asks
     * nobody.
     */
    public function token(
        string $sub,
        ?array $jobs = null,
        ?int $expiresAt = null,
        ?int $issuedAt = null,
        ?string $jti = null,
    ): string {
        $this->need('jwtKey', $this->jwtKey);
        $names = array_filter(['iss' => $this->jwtIssuer, 'aud' => $this->jwtAudience]);
        $kid = $this->kid === null ? [] : ['kid' => $this->kid];
        $message = Text::base64url(Text::json(['alg' => 'HS256', 'typ' => 'JWT'] + $kid)) . '.'
            . Text::base64url(Text::json(Text::claims($sub, $jobs, $expiresAt, $issuedAt, $jti) + $names));
        return "$message." . Text::base64url(hash_hmac('sha256', $message, $this->jwtKey, true));
    }

    /**
     * A ticket for `events_auth = ticket`: opens one request, within 30
     * seconds, as a token of this `sub` and these `jobs` would; with `jobIds`
     * for none but these. Over the API it needs `jwtKey`.
     */
    public function ticket(string $sub, ?array $jobs = null, ?array $jobIds = null, ?int $expiresAt = null): string
    {
        $limit = $jobIds === null ? [] : ['job_ids' => array_map(Text::checkJob(...), array_values($jobIds))];
        if ($this->db) {
            return $this->db->ticket(Text::claims($sub, $jobs, $expiresAt) + $limit);
        }
        $token = $this->token($sub, $jobs, $expiresAt);
        return $this->post('/tickets', Text::json((object) $limit), $token)['ticket'];
    }

    /** Closes the database. The object may be used again. */
    public function close(): void
    {
        $this->db?->close();
    }

    private function need(string $name, ?string $value): void
    {
        if ($value === null || $value === '') {
            throw new JobwireError('not_configured', "connect() got no $name");
        }
    }

    private function bearer(): string
    {
        $this->need('url', $this->url);
        $this->need('key', $this->key);
        return $this->key;
    }

    /** One call, sent again while the server is away: that is always safe. */
    private function post(
        string $path,
        string $body,
        #[\SensitiveParameter] string $bearer,
        ?string $idempotencyKey = null,
    ): array {
        $this->need('url', $this->url);
        $headers = ['Content-Type: application/json', "Authorization: Bearer $bearer", 'Connection: close'];
        if ($idempotencyKey !== null) {
            $headers[] = "Idempotency-Key: $idempotencyKey";
        }
        foreach ($headers as $header) {
            if (preg_match('/[\r\n]/', $header)) {
                throw new JobwireError('bad_payload', 'a line break in a header field');
            }
        }
        $end = microtime(true) + $this->timeout;
        foreach ([...self::PAUSES, null] as $pause) {
            try {
                return Http::send($this->url . $path, $headers, $body, max(0.1, $end - microtime(true)));
            } catch (JobwireError $error) {
                $isAway = $error->status === null || $error->status >= 500;
                if (!$isAway || $pause === null || microtime(true) + $pause >= $end) {
                    throw $error;
                }
            }
            usleep((int) ($pause * 1e6));
        }
    }
}

/**
 * A connection that is opened when it is needed: first, and when another file
 * has taken the path.
 *
 * @internal
 */
final class Database
{
    private const CODES = [ // of the table's checks, as the server calls them
        'job_id_format' => 'bad_job_id',
        'event_type_format' => 'bad_type',
        'data_is_json_object' => 'bad_payload',
    ];

    private ?\PDO $pdo = null;
    private ?array $of = null;

    public function __construct(private string $path, private float $timeout)
    {
    }

    public function publish(string $job, string $type, ?string $data, ?string $key): ?string
    {
        $delivery = $key === null ? [null, null] : ['publish', "$job $key"];
        $id = $this->run(
            'INSERT INTO job_events (job_id, type, data, source, delivery_key)'
            . ' VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, delivery_key) DO NOTHING'
            . " RETURNING (SELECT value FROM meta WHERE key = 'epoch') || '-' || id",
            [$job, $type, $data, ...$delivery],
        );
        if ($id === null && $key !== null) {
            $id = $this->run(
                "SELECT (SELECT value FROM meta WHERE key = 'epoch') || '-' || id"
                . ' FROM job_events WHERE source = ? AND delivery_key = ?',
                $delivery,
            );
        }
        return $id;
    }

    public function register(string $job, ?string $owner, ?string $externalId, ?string $restoreId): void
    {
        $this->run(
            'INSERT INTO jobs (job_id, owner, external_id, restore_id)'
            . ' VALUES (?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET'
            . ' owner = coalesce(owner, excluded.owner),'
            . ' external_id = coalesce(excluded.external_id, external_id),'
            . ' restore_id = coalesce(excluded.restore_id, restore_id)'
            . ' WHERE owner = excluded.owner OR owner IS NULL OR excluded.owner IS NULL',
            [$job, $owner, $externalId, $restoreId],
        );
        $stored = $this->run('SELECT owner FROM jobs WHERE job_id = ?', [$job]);
        if ($stored !== null && $owner !== null && $stored !== $owner) {
            throw new JobwireError('job_owned', 'the job belongs to another owner', 409);
        }
    }

    public function ticket(array $claims): string
    {
        $ticket = Text::base64url(random_bytes(24));
        $this->run(
            'INSERT INTO tickets (digest, claims, expires_at) VALUES (?, ?, ?)',
            [hash('sha256', $ticket), Text::json($claims), min(time() + 30, $claims['exp'])],
        );
        return $ticket;
    }

    public function close(): void
    {
        $this->pdo = $this->of = null;
    }

    /** One transaction; the first row's value, or null. */
    private function run(string $statement, array $values): ?string
    {
        try {
            $prepared = $this->open()->prepare($statement);
            $prepared->execute($values);
            $rows = $prepared->fetchAll(\PDO::FETCH_NUM);
        } catch (\PDOException $error) {
            $says = $error->getMessage();
            $code = match ($error->errorInfo[1] ?? 0) {
                19 => self::CODES[substr($says, strrpos($says, ' ') + 1)] ?? 'bad_payload',
                5, 6 => 'database_busy',
                default => 'database_error',
            };
            throw new JobwireError($code, $says);
        }
        return $rows[0][0] ?? null;
    }

    private function open(): \PDO
    {
        clearstatcache(true, $this->path);
        $file = @stat($this->path);
        if ($file === false) {
            throw new JobwireError('database_missing', "no file $this->path");
        }
        $of = [$file['dev'], $file['ino']];
        if ($this->pdo === null || $this->of !== $of) {
            [$this->pdo, $this->of] = [$this->connect(), $of];
        }
        return $this->pdo;
    }

    private function connect(): \PDO
    {
        $pdo = new \PDO('sqlite:' . realpath($this->path), null, null, [
            \PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION,
            \PDO::ATTR_TIMEOUT => (int) ceil($this->timeout),
            \PDO::SQLITE_ATTR_OPEN_FLAGS => \PDO::SQLITE_OPEN_READWRITE,
        ]);
        if (version_compare($pdo->getAttribute(\PDO::ATTR_SERVER_VERSION), '3.37', '<')) {
            throw new JobwireError('not_configured', 'SQLite 3.37 or later is needed');
        }
        if ((int) $pdo->query('PRAGMA application_id')->fetchColumn() !== 0x6A6F6277) {
            throw new JobwireError('database_error', "this is no database of jobwire's");
        }
        $pdo->exec('PRAGMA synchronous = FULL');
        return $pdo;
    }
}

/** @internal */
final class Http
{
    /** The answer's JSON, or the error that it is. Follows no redirect: the key is for the server named. */
    public static function send(string $url, array $headers, string $body, float $timeout): array
    {
        $context = stream_context_create(['http' => [
            'method' => 'POST', 'header' => $headers, 'content' => $body, 'timeout' => $timeout,
            'ignore_errors' => true, 'follow_location' => 0, 'protocol_version' => 1.1,
        ]]);
        $stream = @fopen($url, 'r', false, $context);
        $text = $stream ? @stream_get_contents($stream) : false;
        if ($text === false) {
            throw new JobwireError('unreachable', error_get_last()['message'] ?? 'no answer');
        }
        $status = $retryAfter = null;
        $meta = stream_get_meta_data($stream);
        foreach ($meta['wrapper_data'] as $line) {
            if (preg_match('~^HTTP/\S+ (\d+)~', $line, $found)) {
                $status = (int) $found[1];
            } elseif (preg_match('~^Retry-After:\s*(\d+)\s*$~i', $line, $found)) {
                $retryAfter = (int) $found[1];
            }
        }
        fclose($stream);
        $answer = json_decode($text, true);
        if ($status >= 200 && $status < 300 && is_array($answer) && !$meta['timed_out']) {
            return $answer;
        }
        if ($status === null || $status < 300) {
            throw new JobwireError('unreachable', 'the answer broke off');
        }
        $said = is_array($answer) ? $answer['error'] ?? [] : [];
        throw new JobwireError(
            $said['code'] ?? "http_$status",
            $said['message'] ?? "HTTP $status",
            $status,
            $retryAfter,
        );
    }
}

/** @internal */
final class Text
{
    private const JSON = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR;

    /** As jobwire writes it: no white space, and no character that some readers end a line at. */
    public static function json(mixed $value): string
    {
        try {
            return str_replace("\u{85}", '\u0085', json_encode($value, self::JSON));
        } catch (\JsonException $error) {
            throw new JobwireError('bad_payload', $error->getMessage());
        }
    }

    /** The text of a JSON object, from what becomes one or from its text. */
    public static function object(array|object|string $value, ?int $most = null): string
    {
        $isList = is_array($value) && $value !== [] && array_is_list($value);
        $text = is_string($value) ? $value : self::json($isList ? $value : (object) $value);
        if (!json_decode($text) instanceof \stdClass) {
            throw new JobwireError('bad_payload', 'this is no JSON object');
        }
        if ($most !== null && strlen($text) > $most) {
            throw new JobwireError('data_too_large', 'data of an event are 1 MiB at most');
        }
        return $text;
    }

    public static function checkJob(string $job): string
    {
        if (!preg_match('/\A[0-9A-Za-z._:~-]{1,128}\z/', $job)) {
            throw new JobwireError('bad_job_id', 'a job id is 1 to 128 of A-Z a-z 0-9 . _ : ~ -');
        }
        return $job;
    }

    /** What a token or a ticket says. */
    public static function claims(
        string $sub,
        ?array $jobs,
        ?int $expiresAt,
        ?int $issuedAt = null,
        ?string $jti = null,
    ): array {
        if (strlen($sub) < 1 || strlen($sub) > 256 || preg_match('/[\x00-\x1f\x7f]|\xef\xbf\xbd/', $sub)) {
            throw new JobwireError('bad_payload', 'sub is 1 to 256 bytes without controls');
        }
        $iat = $issuedAt ?? time();
        return [
            'sub' => $sub, 'exp' => $expiresAt ?? $iat + 3600, 'iat' => $iat,
            'jti' => $jti ?? self::base64url(random_bytes(16)),
        ] + ($jobs === null ? [] : ['jobs' => array_map(self::checkJob(...), array_values($jobs))]);
    }

    /** The first of a list as the settings have it, which may be in `@FILE`. */
    public static function firstKey(#[\SensitiveParameter] ?string $value): ?string
    {
        if ($value === null || $value === '') {
            return null;
        }
        $content = $value[0] === '@' ? self::read(substr($value, 1)) : $value;
        $keys = array_map(fn ($part) => trim($part, " \t\r"), preg_split('/[,\n]/', $content));
        return self::longEnough(current(array_filter($keys, fn ($key) => $key !== '')) ?: '', 16);
    }

    /** [its name, the secret]: from the text, `@FILE`, or `NAME=@FILE`. */
    public static function jwtKey(#[\SensitiveParameter] ?string $value): array
    {
        if ($value === null || $value === '') {
            return [null, null];
        }
        if (preg_match('/\A([^=@,\s]+)=@([^,]+)/', $value, $named)) {
            $content = self::read($named[2]);
        } else {
            $content = $value[0] === '@' ? self::read(substr($value, 1)) : $value;
        }
        return [$named[1] ?? null, self::longEnough(trim($content, " \t\r\n"), 32)];
    }

    public static function base64url(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }

    private static function read(string $path): string
    {
        $content = @file_get_contents($path);
        if ($content === false) {
            throw new JobwireError('not_configured', "cannot read $path");
        }
        return $content;
    }

    private static function longEnough(#[\SensitiveParameter] string $key, int $least): string
    {
        if (strlen($key) < $least) {
            throw new JobwireError('not_configured', "a key has $least bytes or more");
        }
        return $key;
    }
}

<?php

// SPDX-License-Identifier: ISC
// As driver.py, of publish/php/Jobwire.php.

declare(strict_types=1);

require __DIR__ . '/../../publish/php/Jobwire.php';

function camel(string $name): string
{
    return lcfirst(str_replace('_', '', ucwords($name, '_')));
}

function named(array $options): array
{
    return array_combine(array_map(camel(...), array_keys($options)), array_values($options));
}

function answer(callable $action): void
{
    try {
        $said = ['ok' => $action()];
    } catch (Jobwire\JobwireError $error) {
        $said = ['error' => $error->errorCode, 'status' => $error->status,
            'retry_after' => $error->retryAfter, 'message' => $error->getMessage()];
    }
    echo json_encode($said), "\n";
}

$jw = null;
while (($line = fgets(STDIN)) !== false) {
    $order = json_decode($line, true);
    if (isset($order['target'])) {
        answer(function () use (&$jw, $order) {
            $jw = Jobwire\connect($order['target'], ...named($order['options']));
        });
    } else {
        answer(fn () => $jw->{camel($order['call'])}(...$order['args'], ...named($order['options'])));
    }
}

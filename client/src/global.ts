// SPDX-License-Identifier: ISC
// The client for a plain <script>: the global `jobwire`.

import { subscribe } from "./jobwire.js";

(globalThis as Record<string, unknown>).jobwire = { subscribe };

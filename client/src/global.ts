// SPDX-License-Identifier: ISC
// The client for a plain <script>: the global `jobwire`.

import { subscribe } from "./jobwire.js";

Object.assign(globalThis, { jobwire: { subscribe } });

// SPDX-License-Identifier: ISC
// Stands in for React's types where only ours are written, which name none of
// them: so that needs no npm. `make check` checks the source with React's own.

declare module "react";

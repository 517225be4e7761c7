"use client";

import { useJobEvents } from "jobwire/react";

export function Job({ id }: { id: string | null }) {
  const { status, progress, error } = useJobEvents(id);
  return (
    <p>
      <progress max="100" value={progress ?? undefined} /> <output>{error?.message ?? status ?? "…"}</output>
    </p>
  );
}

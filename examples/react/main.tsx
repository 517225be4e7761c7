import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { useJobEvents } from "jobwire/react";

function Job({ id }: { id: string | null }) {
  const { status, progress, error } = useJobEvents(id, {
    onCompleted: ({ data }) => console.info("completed", data.output),
  });
  return (
    <p>
      <progress max="100" value={progress ?? undefined} /> <output>{error?.message ?? status ?? "…"}</output>
    </p>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Job id={new URLSearchParams(location.search).get("job")} />
  </StrictMode>,
);

import { useState } from "react";
import type { JobData } from "jobwire";
import { useJobEvents } from "jobwire/react";
import { cancel } from "jobwire/runs";

/** A large output does not travel in events. */
async function imageOf(job: string, data: JobData): Promise<string> {
  const { output } = data.output_omitted ? await (await fetch(`/api/v1/jobs/${job}`)).json() : data;
  return (output as { image: string }).image;
}

/** One restoration, followed from its first event to its end, however often the page is loaded meanwhile. */
export function Photo({ job, name }: { job: string; name: string }) {
  const [image, setImage] = useState<string>();
  const [note, setNote] = useState("");
  const { status, progress, connection, error } = useJobEvents(job, {
    onCompleted: ({ data }) => imageOf(job, data).then(setImage, () => setNote("refresh to see it")),
    onCancelling: () => setNote("cancelling"),
    onFailed: ({ data }) => setNote(data.error ?? ""),
    onCancelled: () => setNote(""),
  });
  const isOpen = status === "queued" || status === "processing";

  async function onCancel() {
    const answer = await cancel(job);
    if (!answer.ok) setNote(answer.message);
  }

  return (
    <li>
      <h2>{name}</h2>
      <output>
        {status ?? "…"} {note && `(${note})`}
      </output>
      {connection === "waiting" && <p role="alert">No news at the moment: {error?.message}</p>}
      <progress max="100" value={status === "completed" ? 100 : (progress ?? 0)} aria-label={`Progress of ${name}`} />
      {isOpen && <button onClick={onCancel}>Cancel</button>}
      {image && <img src={image} alt={`${name}, restored`} />}
    </li>
  );
}

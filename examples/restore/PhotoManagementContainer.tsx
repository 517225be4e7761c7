import { type FormEvent, useEffect, useState } from "react";
import { start } from "jobwire/runs";
import { inputOf } from "./inputOf";
import { Photo } from "./Photo";

interface Restoration {
  job: string;
  name: string;
}

/** None where what is kept in this browser cannot be read. */
function kept(): Restoration[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem("photos") ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

/** The user's photos. Only their jobs' ids are kept here: what became of each, the server tells. */
export function PhotoManagementContainer() {
  const [photos, setPhotos] = useState(kept);
  const [round, setRound] = useState(0);
  const [trouble, setTrouble] = useState("");

  useEffect(() => localStorage.setItem("photos", JSON.stringify(photos)), [photos]);

  async function onStart(submitted: FormEvent<HTMLFormElement>) {
    submitted.preventDefault();
    const photo = new FormData(submitted.currentTarget).get("photo") as File;
    const job = crypto.randomUUID();
    setTrouble("");
    try {
      const started = await start(job, "restore", { job_id: job, ...(await inputOf(photo)) });
      if (started.ok) setPhotos((others) => [{ job, name: photo.name }, ...others]);
      else setTrouble(started.message);
    } catch {
      setTrouble(`${photo.name} is no picture.`);
    }
  }

  return (
    <main>
      <h1>Photos</h1>
      <form onSubmit={onStart}>
        <input type="file" name="photo" accept="image/*" aria-label="A photo" required />
        <button>Restore</button>
        <button type="button" onClick={() => setRound(round + 1)}>
          Refresh
        </button>
      </form>
      {trouble && <p role="alert">{trouble}</p>}
      <ul>
        {photos.map(({ job, name }) => (
          // Another key makes another component, which asks for the job's events from the first.
          <Photo key={`${job} ${round}`} job={job} name={name} />
        ))}
      </ul>
    </main>
  );
}

// SPDX-License-Identifier: ISC
// The page of the old check-list: start a job, see it complete, and the list
// is up to date without a reload. The test gives the ids of jobs to start.

import { StrictMode, useState } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { useJobEvents } from "jobwire/react";

// What was shown of which job, each time.
window.shown = [];
window.flush = flushSync;

function Follower({ job, onDone }) {
  const { status, progress, connection, error } = useJobEvents(job, {
    onProgress: ({ data }) => console.log(`progress ${data.progress}`),
    onCompleted: () => {
      console.log("completed");
      onDone();
    },
    onState(state) {
      if (state === "open") console.log("connected");
      if (state === "closed") window.closedIn = String(job);
    },
  });
  window.shown.push([job, status]);
  return (
    <p>
      <span id="status">{status}</span> <span id="progress">{progress}</span> <span id="connection">{connection}</span>
      <span id="error">{error?.message}</span>
    </p>
  );
}

function Page() {
  const [job, setJob] = useState(null);
  const [isShown, setShown] = useState(true);
  const [list, setList] = useState([]);
  const [count, setCount] = useState(0);
  window.start = setJob;
  window.show = setShown;

  // Closes over the count of its rendering: a stale callback would write a list that is too short.
  async function refresh() {
    const answer = await fetch(`/api/v1/jobs/${job}`);
    const { state } = await answer.json();
    setCount(count + 1);
    setList([...list, `${count + 1}. ${job} ${state}`]);
  }

  return (
    <>
      {isShown && <Follower job={job} onDone={refresh} />}
      <ul>
        {list.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
    </>
  );
}

createRoot(document.getElementById("root")).render(
  location.search === "?strict" ? (
    <StrictMode>
      <Page />
    </StrictMode>
  ) : (
    <Page />
  ),
);

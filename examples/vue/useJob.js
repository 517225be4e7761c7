import { subscribe } from "jobwire";
import { reactive, toValue, watchEffect } from "vue";

/** Follows the job, also when the id is another one later. */
export function useJob(id) {
  const job = reactive({ status: null, progress: null, error: null });
  watchEffect((onCleanup) => {
    Object.assign(job, { status: null, progress: null, error: null });
    if (!toValue(id)) return;
    const { close } = subscribe(toValue(id), {
      onEvent: ({ data }) => {
        job.status = data.status;
        job.progress = data.progress ?? job.progress;
      },
      onState: (_, error) => { job.error = error ?? null; },
    });
    onCleanup(close);
  });
  return job;
}

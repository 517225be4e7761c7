// Rendered on the server; what it shows of the job is not.
import { Job } from "./job";

export default async function Page({ searchParams }: { searchParams: Promise<{ job?: string }> }) {
  const { job } = await searchParams;
  return <Job id={job ?? null} />;
}

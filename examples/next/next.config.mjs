// As the web server of a real site does: one origin for the page and jobwire, here that of `make run`.
const jobwire = process.env.JOBWIRE_URL ?? "http://127.0.0.1:8080";

export default {
  rewrites: () => [{ source: "/api/v1/:path*", destination: `${jobwire}/api/v1/:path*` }],
};

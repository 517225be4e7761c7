// As the web server of a real site does: one origin for the page and jobwire, here that of `make run`.
export default {
  rewrites: () => [{ source: "/api/v1/:path*", destination: "http://127.0.0.1:8080/api/v1/:path*" }],
};

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  // As the web server of a real site does: one origin for the page and jobwire, here that of `make run`.
  server: { proxy: { "/api/v1": process.env.JOBWIRE_URL ?? "http://127.0.0.1:8080" } },
});

// How the portal is built: one script, one style sheet, no host name but the one that serves it.

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** React's production errors carry a link. The portal names no outside host, so only the code stays. */
function noOutsideHosts(): Plugin {
  return {
    name: "tunery:no-outside-hosts",
    renderChunk: (code) => code.replaceAll("https://react.dev/errors/", "react.dev/errors/"),
  };
}

export default defineConfig({
  plugins: [react(), noOutsideHosts()],
  // No inlined data: URLs, so that the API can send a strict content security policy.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});

// How the portal is built: served under /app/, no host name but the one that serves it, and each
// file gzipped once here instead of at every request.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const SERVICE = process.env.TUNERY_URL ?? "http://127.0.0.1:8000";

/** Libraries' errors carry links. The portal names no outside host, so only the path stays. */
function noOutsideHosts(): Plugin {
  return {
    name: "tunery:no-outside-hosts",
    renderChunk: (code) => code.replace(/https?:\/\/(?!www\.w3\.org)([\w-]+\.[\w.-]+)/g, "$1"),
  };
}

function gzipped(): Plugin {
  let out = "dist";
  return {
    name: "tunery:gzipped",
    apply: "build",
    configResolved: (config) => {
      out = config.build.outDir;
    },
    closeBundle: () => {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/app/",
  plugins: [react(), noOutsideHosts(), gzipped()],
  // No inlined data: URLs, so that the API can send a strict content security policy.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    // The service compares the origin of a request with the host it was sent to.
    proxy: Object.fromEntries(
      ["/v1", "/openapi.json"].map((path) => [path, { target: SERVICE, changeOrigin: false }]),
    ),
    // The tour's rows are those of examples/.
    fs: { allow: [".", "../examples"] },
  },
  test: { environment: "happy-dom", include: ["tests/**/*.test.{ts,tsx}"] },
});

// Away from the page: reads one part of a file and hashes it, so that the page stays free.

import { sha256 } from "./sha256";

export interface ToHash {
  id: number;
  blob: Blob;
}

export type Hashed = { id: number } & ({ sha256: string } | { failed: string });

self.onmessage = async ({ data: { id, blob } }: MessageEvent<ToHash>) => {
  const tell = (hashed: Hashed) => self.postMessage(hashed);
  try {
    tell({ id, sha256: await sha256(blob) });
  } catch (caught) {
    // The file was moved, changed or taken away while it was read.
    tell({ id, failed: caught instanceof Error ? caught.message : String(caught) });
  }
};

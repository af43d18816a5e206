// Hashes parts in a worker, or in the page where there are no workers. null: browsers do not hash
// for plain http; then the service's own sum has to do.

import type { Hashed, ToHash } from "./hash.worker";
import { sha256 } from "./sha256";
import { Unusable } from "./transfer";

interface Asked extends Pick<ToHash, "blob"> {
  resolve: (hex: string) => void;
  reject: (reason: unknown) => void;
}

class Hasher {
  private readonly asked = new Map<number, Asked>();
  private next = 1;

  constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<Hashed>) => {
      const asked = this.asked.get(data.id);
      this.asked.delete(data.id);
      if ("sha256" in data) asked?.resolve(data.sha256);
      else asked?.reject(new Unusable("unreadable"));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      hasher = null;
      for (const { blob, resolve, reject } of this.asked.values()) {
        inPage(blob).then(resolve, reject);
      }
      this.asked.clear();
    };
  }

  hash(blob: Blob): Promise<string> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { blob, resolve, reject });
      const message: ToHash = { id, blob };
      this.worker.postMessage(message);
    });
  }
}

/** undefined: not tried yet; null: there are no workers here. */
let hasher: Hasher | null | undefined;

export async function hash(blob: Blob): Promise<string | null> {
  if (globalThis.crypto?.subtle === undefined) return null;
  if (hasher === undefined) hasher = startWorker();
  return hasher === null ? inPage(blob) : hasher.hash(blob);
}

function startWorker(): Hasher | null {
  try {
    return new Hasher(new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" }));
  } catch {
    return null;
  }
}

async function inPage(blob: Blob): Promise<string> {
  try {
    return await sha256(blob);
  } catch {
    throw new Unusable("unreadable");
  }
}

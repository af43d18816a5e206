// A lease, so that another tab does not offer to go on with what this one is sending.

const LOCK = "tunery.upload.";

/** Held until it is released or the page is gone. */
export function leaseUpload(uploadId: string): () => void {
  let free = () => {};
  const freed = new Promise<void>((resolve) => {
    free = resolve;
  });
  void navigator.locks?.request(LOCK + uploadId, () => freed).catch(() => {});
  return free;
}

/** What any tab, this one too, holds a lease of. */
export async function leasedUploads(): Promise<ReadonlySet<string>> {
  try {
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const names = held.map(({ name }) => name ?? "").filter((name) => name.startsWith(LOCK));
    return new Set(names.map((name) => name.slice(LOCK.length)));
  } catch {
    return new Set();
  }
}

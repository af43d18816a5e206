// Uploads that have begun, kept in the browser by tenant: after a reload they can go on.

export interface Kept {
  uploadId: string;
  name: string;
  bytes: number;
  lastModified: number;
  partBytes: number;
}

const key = (tenantId: string) => `tunery.uploads.${tenantId}`;

export function keptUploads(tenantId: string): Kept[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key(tenantId)) ?? "[]");
    return Array.isArray(found) ? found.filter(isKept) : [];
  } catch {
    return [];
  }
}

export function keep(tenantId: string, upload: Kept): void {
  write(tenantId, [...others(tenantId, upload.uploadId), upload]);
}

export function forget(tenantId: string, uploadId: string): void {
  write(tenantId, others(tenantId, uploadId));
}

/** Whether this is the file that the upload was begun with. Its bytes are compared part by part. */
export function isSameFile(
  kept: Pick<Kept, "name" | "bytes" | "lastModified">,
  file: Pick<File, "name" | "size" | "lastModified">,
): boolean {
  return (
    kept.name === file.name && kept.bytes === file.size && kept.lastModified === file.lastModified
  );
}

function others(tenantId: string, uploadId: string): Kept[] {
  return keptUploads(tenantId).filter((one) => one.uploadId !== uploadId);
}

function write(tenantId: string, uploads: Kept[]): void {
  try {
    if (uploads.length === 0) localStorage.removeItem(key(tenantId));
    else localStorage.setItem(key(tenantId), JSON.stringify(uploads));
  } catch {
    // A browser that keeps nothing can still upload; it just cannot go on after a reload.
  }
}

function isKept(value: unknown): value is Kept {
  const kept = value as Partial<Kept> | null;
  return (
    typeof kept?.uploadId === "string" &&
    typeof kept.name === "string" &&
    typeof kept.bytes === "number" &&
    typeof kept.lastModified === "number" &&
    typeof kept.partBytes === "number" &&
    kept.partBytes > 0
  );
}

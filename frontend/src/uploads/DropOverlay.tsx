// Files may be dropped anywhere; while they hang over the page it says what will become of them.

import { useRouter } from "@tanstack/react-router";
import { Upload } from "lucide-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import css from "./Uploads.module.css";
import { uploads } from "./uploads";

export function DropOverlay() {
  const { t } = useTranslation();
  const over = useDrops();
  if (!over) return null;
  return (
    <div className={css.overlay}>
      <div className={css.target} role="status">
        <Upload size={20} aria-hidden="true" />
        <b>{t("uploads.drop.title")}</b>
        <span className="dim">{t("uploads.drop.text")}</span>
      </div>
    </div>
  );
}

function useDrops(): boolean {
  const router = useRouter();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const hold = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      setOver(false);
      if (!hasFiles(event) || event.defaultPrevented) return;
      event.preventDefault();
      take(event.dataTransfer, router.state.location.pathname);
    };
    window.addEventListener("dragenter", hold);
    window.addEventListener("dragover", hold);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragenter", hold);
      window.removeEventListener("dragover", hold);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [router]);
  return over;
}

function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes("Files") ?? false;
}

/** A folder comes as a file that cannot be read; only its entry tells. */
function take(data: DataTransfer | null, startedAt: string): void {
  const files: File[] = [];
  for (const item of data?.items ?? []) {
    const file = item.getAsFile();
    if (file === null) continue;
    if (item.webkitGetAsEntry()?.isDirectory) uploads.refuse(file.name, "folder", startedAt);
    else files.push(file);
  }
  uploads.add(files, startedAt);
}

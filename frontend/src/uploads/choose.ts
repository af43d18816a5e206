// "Upload": opens the system's file dialog, wherever one is in the portal.

export const CHOOSE_FILE = "tunery:choose-file";

export function chooseFile(): void {
  window.dispatchEvent(new Event(CHOOSE_FILE));
}

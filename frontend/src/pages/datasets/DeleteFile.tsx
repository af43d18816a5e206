// Deleting a file asks by naming it.

import { useTranslation } from "react-i18next";
import { Confirm } from "../../design/Confirm";
import { type File, useDelete } from "./data";

interface DeleteFileProps {
  /** null: nothing is to be deleted. */
  file: File | null;
  close: () => void;
  onDeleted?: () => void;
}

export function DeleteFile({ file, close, onDeleted }: DeleteFileProps) {
  const { t } = useTranslation();
  const remove = useDelete();
  if (file === null) return null;
  return (
    <Confirm
      opened
      close={close}
      title={t("datasets.deleteTitle", { name: file.filename })}
      action={t("common.delete")}
      act={async () => {
        await remove(file.id);
        onDeleted?.();
      }}
    >
      {t("datasets.deleteText")}
    </Confirm>
  );
}

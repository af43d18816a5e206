// Tables: numbers right-aligned, sticky header, a row opens what it names, virtual past 200 rows.

import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, type ReactNode, useRef } from "react";
import css from "./Table.module.css";

const VIRTUAL_FROM = 200;
const ROW_PX = 48;
const SKELETON_ROWS = ["a", "b", "c", "d", "e"];

export interface Column<Row> {
  key: string;
  head: ReactNode;
  cell: (row: Row) => ReactNode;
  align?: "right";
  /** Left out on a phone. */
  wide?: boolean;
  width?: number | string;
}

interface TableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  /** undefined: still loading, the layout is kept. */
  rows: readonly Row[] | undefined;
  rowKey: (row: Row) => string;
  onOpen?: (row: Row) => void;
  /** The most height before it scrolls inside itself, in pixels. */
  maxHeight?: number;
}

export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rows, rowKey, onOpen, maxHeight } = props;
  const box = useRef<HTMLDivElement>(null);
  const virtual = rows !== undefined && rows.length > VIRTUAL_FROM;
  const { getVirtualItems, getTotalSize, measureElement } = useVirtualizer({
    count: virtual ? rows.length : 0,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  const items = virtual ? getVirtualItems() : [];
  const before = items[0]?.start ?? 0;
  const after = virtual ? getTotalSize() - (items.at(-1)?.end ?? 0) : 0;
  const shown = virtual
    ? items.flatMap((item) => {
        const row = rows[item.index];
        return row === undefined ? [] : [{ row, index: item.index }];
      })
    : (rows ?? []).map((row, index) => ({ row, index }));
  const height = maxHeight ?? (virtual ? 640 : undefined);
  return (
    // biome-ignore lint/a11y/useSemanticElements: no fieldset; a second region of the panel's name would be one landmark too many
    <div
      role="group"
      ref={box}
      className={css.box}
      style={height === undefined ? undefined : { maxHeight: height }}
      aria-label={label}
      tabIndex={height === undefined ? undefined : 0}
    >
      <table className={css.table} aria-rowcount={rows?.length}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} className={classes(column)} style={{ width: column.width }}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody aria-busy={rows === undefined}>
          {rows === undefined &&
            SKELETON_ROWS.map((key) => (
              <tr key={key} className={css.skeleton}>
                {columns.map((column) => (
                  <td key={column.key} className={classes(column)}>
                    <i />
                  </td>
                ))}
              </tr>
            ))}
          {before > 0 && <Gap height={before} columns={columns.length} />}
          {shown.map(({ row, index }) => (
            <tr
              key={rowKey(row)}
              data-index={index}
              ref={virtual ? measureElement : undefined}
              className={onOpen && css.opens}
              onClick={onOpen && ((event) => clicked(event, () => onOpen(row)))}
              onKeyDown={onOpen && ((event) => pressed(event, () => onOpen(row)))}
              tabIndex={onOpen && 0}
            >
              {columns.map((column) => (
                <td key={column.key} className={classes(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {after > 0 && <Gap height={after} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  );
}

function Gap({ height, columns }: { height: number; columns: number }) {
  return (
    <tr>
      <td colSpan={columns} style={{ height, padding: 0, border: 0 }} />
    </tr>
  );
}

/** A click on a control inside the row is that control's. */
function clicked(event: MouseEvent<HTMLElement>, open: () => void): void {
  const control = (event.target as HTMLElement).closest("a, button, input, label, [role=menuitem]");
  if (control === null && window.getSelection()?.toString() === "") open();
}

function pressed(event: KeyboardEvent<HTMLElement>, open: () => void): void {
  if (event.key !== "Enter" || event.target !== event.currentTarget) return;
  event.preventDefault();
  open();
}

function classes<Row>(column: Column<Row>): string {
  return [column.align === "right" && "number", column.wide && css.onlyWide]
    .filter(Boolean)
    .join(" ");
}

// The parts of one page. Which is open stands in the address; only that one is drawn.

import { Tabs } from "@mantine/core";
import { type ReactNode, useEffect, useRef } from "react";
import css from "./PageTabs.module.css";

interface PageTabsProps<Name extends string> {
  label: string;
  parts: readonly { name: Name; label: string; content: () => ReactNode }[];
  /** As the address says it: what is no part opens the first. */
  open: string | undefined;
  onOpen: (name: Name) => void;
}

export function PageTabs<Name extends string>(props: PageTabsProps<Name>) {
  const { label, parts, open, onOpen } = props;
  const list = useRef<HTMLDivElement>(null);
  const shown = parts.find((part) => part.name === open) ?? parts[0];
  // On a phone the open one may stand beyond the edge.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever another one is open
  useEffect(() => {
    const tab = list.current?.querySelector<HTMLElement>("[aria-selected=true]");
    if (tab && list.current)
      list.current.scrollLeft = tab.offsetLeft - list.current.offsetLeft - 24;
  }, [shown?.name]);
  if (shown === undefined) return null;
  const choose = (name: string | null) => {
    const chosen = parts.find((part) => part.name === name);
    if (chosen !== undefined) onOpen(chosen.name);
  };
  return (
    <Tabs value={shown.name} onChange={choose} keepMounted={false}>
      <Tabs.List ref={list} className={css.list} aria-label={label}>
        {parts.map((part) => (
          <Tabs.Tab key={part.name} value={part.name}>
            {part.label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel key={shown.name} value={shown.name} className={css.part}>
        {shown.content()}
      </Tabs.Panel>
    </Tabs>
  );
}

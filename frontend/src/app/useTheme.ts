// Light or dark: what was chosen here, else the system's.

import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";

export type Theme = "light" | "dark" | "auto";

export function useTheme(): { theme: Theme; dark: boolean; setTheme: (theme: Theme) => void } {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const computed = useComputedColorScheme("light", { getInitialValueInEffect: false });
  return { theme: colorScheme, dark: computed === "dark", setTheme: setColorScheme };
}

// Mantine, told to look like the house: tokens.css holds the colours, this hands them on.

import {
  type CSSVariablesResolver,
  createTheme,
  type MantineColorSchemeManager,
  type MantineColorsTuple,
} from "@mantine/core";

const accent: MantineColorsTuple = [
  "#eef1fc",
  "#d9e0f8",
  "#b9c5f2",
  "#96a7ec",
  "#748ae2",
  "#5570d8",
  "#3554c8",
  "#2d48ad",
  "#253b90",
  "#1c2d70",
];

export const theme = createTheme({
  primaryColor: "accent",
  primaryShade: { light: 6, dark: 6 },
  colors: { accent },
  fontFamily: "var(--sans)",
  fontFamilyMonospace: "var(--mono)",
  fontSizes: { xs: "12px", sm: "14px", md: "14px", lg: "16px", xl: "20px" },
  lineHeights: { xs: "16px", sm: "20px", md: "20px", lg: "24px", xl: "28px" },
  spacing: { xs: "8px", sm: "12px", md: "16px", lg: "24px", xl: "32px" },
  radius: { xs: "4px", sm: "6px", md: "8px", lg: "12px", xl: "16px" },
  defaultRadius: "sm",
  headings: {
    fontWeight: "600",
    sizes: {
      h1: { fontSize: "22px", lineHeight: "32px" },
      h2: { fontSize: "15px", lineHeight: "24px" },
      h3: { fontSize: "14px", lineHeight: "20px" },
    },
  },
  cursorType: "pointer",
  components: {
    Tooltip: { defaultProps: { withArrow: true, openDelay: 200, multiline: true, maw: 320 } },
    Modal: { defaultProps: { centered: true, overlayProps: { backgroundOpacity: 0.4 } } },
    InputWrapper: { styles: { label: { marginBottom: 4 }, description: { marginBottom: 4 } } },
    Button: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { allowDeselect: false } },
  },
});

export const variables: CSSVariablesResolver = () => {
  const shared = {
    "--mantine-color-body": "var(--surface)",
    "--mantine-color-text": "var(--ink)",
    "--mantine-color-dimmed": "var(--grey)",
    "--mantine-color-placeholder": "var(--grey)",
    "--mantine-color-anchor": "var(--accent)",
    "--mantine-color-error": "var(--bad)",
    "--mantine-color-default": "var(--surface)",
    "--mantine-color-default-hover": "var(--ground)",
    "--mantine-color-default-border": "var(--line-strong)",
    "--mantine-color-default-color": "var(--ink)",
    "--mantine-primary-color-light": "var(--accent-soft)",
    "--mantine-primary-color-light-hover": "var(--accent-soft)",
    "--mantine-primary-color-light-color": "var(--accent)",
    "--mantine-color-accent-light": "var(--accent-soft)",
    "--mantine-color-accent-light-hover": "var(--accent-soft)",
    "--mantine-color-accent-light-color": "var(--accent)",
  };
  return { variables: {}, light: shared, dark: shared };
};

const KEPT = "tunery.theme";

/** Like Mantine's own, under our name: theme.js reads it before the first paint. */
export const themeKeeper: MantineColorSchemeManager = {
  get: (fallback) => {
    const kept = localStorage.getItem(KEPT);
    return kept === "light" || kept === "dark" || kept === "auto" ? kept : fallback;
  },
  set: (value) => localStorage.setItem(KEPT, value),
  subscribe: () => {},
  unsubscribe: () => {},
  clear: () => localStorage.removeItem(KEPT),
};

// Before the first paint: the theme and the language that were chosen here, else the system's.
(() => {
  const kept = localStorage.getItem("tunery.theme");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = kept === "light" || kept === "dark" ? kept : dark ? "dark" : "light";
  document.documentElement.setAttribute("data-mantine-color-scheme", theme);
  const language = localStorage.getItem("tunery.language") ?? navigator.language;
  document.documentElement.lang = language.startsWith("zh") ? "zh-CN" : "en";
})();

// Every word that the portal says, in both languages. `en` is the shape; the compiler refuses a
// `zh` that lacks a key or has one too many. A language is loaded when it is chosen.

import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import type { en } from "./en";

export type Language = "en" | "zh";

/** The same keys, any words. */
export type Same<Words> = {
  [Key in keyof Words]: Words[Key] extends string ? string : Same<Words[Key]>;
};

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: Same<typeof en> };
    returnNull: false;
  }
}

const KEPT = "tunery.language";

const load = {
  en: async (): Promise<Same<typeof en>> => (await import("./en")).en,
  zh: async (): Promise<Same<typeof en>> => (await import("./zh")).zh,
};

export function language(): Language {
  return i18next.language === "zh" ? "zh" : "en";
}

/** For Intl: how numbers and dates are written. */
export function locale(): string {
  return language() === "zh" ? "zh-CN" : "en-GB";
}

export async function startWords(): Promise<void> {
  const first: Language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
  await i18next.use(initReactI18next).init({
    lng: first,
    resources: { [first]: { translation: await load[first]() } },
    interpolation: { escapeValue: false },
    react: { useSuspense: false },
    returnNull: false,
  });
}

export async function speak(chosen: Language): Promise<void> {
  i18next.addResourceBundle(chosen, "translation", await load[chosen]());
  await i18next.changeLanguage(chosen);
  document.documentElement.lang = locale();
  localStorage.setItem(KEPT, chosen);
}

export const nav = {
  main: "Main",
  skip: "Skip to content",
  menu: "Menu",
  find: "Find anything",
  balance: "Credit balance; opens the statement",
  creditsUnit: "credits",
  datasets: "Datasets",
  jobs: "Jobs",
  models: "Models",
  playground: "Playground",
  credits: "Credits",
  settings: "Settings",
  admin: "Admin",
  otherLanguage: "中文",
  otherTheme: "Light or dark",
  account: "Account and team",
  keys: "Keyboard",
  switchTo: "Switch to {{name}}",
  signOut: "Sign out",
} as const;

export const keys = {
  palette: "Find anything",
  newJob: "New job",
  upload: "Upload a dataset",
  search: "Search this list",
  send: "Start or send",
  rows: "Previous or next row",
  keys: "These keys",
} as const;

export const palette = {
  placeholder: "A job, dataset, model or page",
  none: "Nothing has this name.",
  act: "do",
  page: "page",
  job: "job",
  dataset: "dataset",
  model: "model",
} as const;

import { admin } from "./admin";
import { codes } from "./codes";
import { common } from "./common";
import { credits } from "./credits";
import { datasets } from "./datasets";
import { door } from "./door";
import { job } from "./job";
import { jobs } from "./jobs";
import { models } from "./models";
import { keys, nav, palette } from "./nav";
import { newJob } from "./newJob";
import { playground } from "./playground";
import { settings } from "./settings";
import { uploads } from "./uploads";

export const en = {
  admin,
  codes,
  common,
  credits,
  datasets,
  door,
  job,
  jobs,
  keys,
  models,
  nav,
  newJob,
  palette,
  playground,
  settings,
  uploads,
};

import type { Same } from "..";
import type { keys as enKeys, nav as enNav, palette as enPalette } from "../en/nav";

export const nav: Same<typeof enNav> = {
  main: "主导航",
  skip: "跳到正文",
  menu: "菜单",
  find: "查找",
  balance: "算力点余额；点击查看账单明细",
  creditsUnit: "算力点",
  datasets: "数据集",
  jobs: "任务",
  models: "模型",
  playground: "对话测试",
  credits: "算力点",
  settings: "设置",
  admin: "管理",
  otherLanguage: "English",
  otherTheme: "浅色或深色",
  account: "账户与团队",
  keys: "键盘快捷键",
  switchTo: "切换到 {{name}}",
  signOut: "退出登录",
};

export const keys: Same<typeof enKeys> = {
  palette: "查找任何内容",
  newJob: "新建任务",
  upload: "上传数据集",
  search: "搜索当前列表",
  send: "开始或发送",
  rows: "上一行或下一行",
  keys: "显示快捷键",
};

export const palette: Same<typeof enPalette> = {
  placeholder: "任务、数据集、模型或页面",
  none: "没有找到同名内容。",
  act: "操作",
  page: "页面",
  job: "任务",
  dataset: "数据集",
  model: "模型",
};

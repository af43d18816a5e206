import type { Same } from "..";
import type { models as en } from "../en/models";

export const models: Same<typeof en> = {
  title: "模型",
  tuned: "微调模型",
  bases: "基座模型",
  name: "模型",
  dataset: "数据集",
  job: "任务",
  size: "大小",
  created: "创建时间",
  talk: "与它对话",
  download: "下载",
  downloadFiles: "{{name}} 的文件",
  downloadText:
    "PEFT 格式的单个压缩包：可直接用 peft 加载到 {{base}} 上。链接在 {{minutes}} 分钟内有效。",
  archive: "下载压缩包（{{bytes}}）",
  file: "文件",
  delete: "删除",
  deleteTitle: "删除 {{name}}？",
  deleteText: "文件将被移除，之后无法再与它对话或下载。任务、损失曲线和费用明细会保留。",
  deleted: "{{name}} 已删除",
  details: "{{name}} 的详情",
  emptyTitle: "还没有微调模型",
  emptyText: "成功结束的任务会在这里留下适配器：可以对话、对比，也可以下载带走。",
  emptyAction: "新建任务",
  licence: "许可证",
  parameters: "参数量",
  context: "上下文",
  contextTokens: "{{n}} 个词元",
  trainPrice: "训练",
  train: "微调它",
};

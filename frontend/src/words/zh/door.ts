import type { Same } from "..";
import type { door as en } from "../en/door";

export const door: Same<typeof en> = {
  promise: "上传数据，查看价格，看着模型学会，把适配器带回家。",
  signIn: "登录",
  signUp: "创建账户",
  email: "邮箱",
  password: "密码",
  passwordHint: "至少 12 个字符",
  tenant: "团队名称",
  referral: "推荐人",
  referralHint: "如果有团队向您推荐了我们，请填写其名称",
  toSignUp: "第一次使用？创建账户",
  toSignIn: "已有账户？登录",
  join: {
    title: "加入团队",
    titleOf: "加入 {{tenant}}",
    new: "您收到了邀请。设置密码后即可加入。",
    known: "您收到了邀请。您在这里已有账户，请输入它的密码。",
    action: "加入",
  },
  welcome: {
    title: "三次点击，从数据到微调模型",
    text: "一个真实的小模型将学会一家虚构自行车店的知识，这些它从未见过。只需几分钟，您可以全程观看。",
    dataset: {
      title: "使用示例数据",
      text: "用户向商店助手提出的问题，以及您想要的回答。您自己的数据也是这个样子。",
      action: "添加示例数据集",
      done: "已读取 {{rows}} 行，其中 {{good}} 行可用",
      busy: "正在逐行检查",
    },
    quote: {
      title: "付费之前先看价格",
      text: "精确到每个算力点：完整运行的费用就是报价，绝不会更多。",
      action: "获取预估费用",
      done: "{{credits}} 算力点，共 {{tokens}} 个词元",
      busy: "正在统计词元",
      takes: "{{low}} 至 {{high}}",
    },
    start: {
      title: "开始，看着它学习",
      text: "您可以随时关闭页面，训练会继续进行。",
      action: "开始任务",
      short: "还差 {{credits}} 算力点。",
      redeem: "兑换算力券",
    },
    done: "已完成",
    skip: "跳过引导",
    again: "您可以随时从任务列表回到这里。",
  },
};

"""The planted topics: their words, what each domain sells about them, and how tastes carry over.

A topic exists in one domain or in both. `CARRY_OVER` says how a taste on the knowledge side turns into tastes
on the beauty side; it is the planted cross-domain relation that a recommender can find.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KNOWLEDGE = "knowledge"
BEAUTY = "beauty"
DOMAINS = (KNOWLEDGE, BEAUTY)


@dataclass(frozen=True)
class Topic:
    """One planted topic.

    Attributes:
        key: stable English name.
        name: Chinese name, also its tag.
        words: topic words, the most typical first.
        courses: what the knowledge side sells about it; empty when the topic is beauty-only.
        products: what the beauty side sells about it; empty when the topic is knowledge-only.
        price: median price in yuan of a course and of a product.
        prior: relative popularity among people.
        drift: change of the log popularity a day (a trend).
    """

    key: str
    name: str
    words: tuple[str, ...]
    courses: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    price: tuple[int, int] = (199, 159)
    prior: float = 1.0
    drift: float = 0.0


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOPICS: tuple[Topic, ...] = (
    Topic(
        "skincare",
        "护肤成分",
        _words(
            "烟酰胺 玻尿酸 精华 屏障 敏感肌 保湿 神经酰胺 视黄醇 角质 刷酸 水杨酸 修护 胶原蛋白 抗氧化 维生素 洁面 "
            "面霜 爽肤水 毛孔 暗沉 美白 抗老 泛红 补水 配方 成分表"
        ),
        _words("敏感肌修护课 成分党护肤课 科学抗老指南 护肤配方入门 皮肤屏障十讲 早晚护肤手册"),
        _words("精华液 面霜 爽肤水 洁面乳 修护面膜 安瓶 乳液 眼霜"),
        (199, 239),
        1.5,
        0.004,
    ),
    Topic(
        "makeup",
        "彩妆教程",
        _words(
            "口红 眼影 粉底 腮红 睫毛 眉毛 底妆 遮瑕 高光 修容 眼线 妆容 散粉 唇釉 卸妆 定妆 美妆蛋 化妆刷 显白 "
            "豆沙色 珠光 哑光 贴服 伪素颜 轮廓"
        ),
        _words("新手化妆课 眼妆进阶课 通勤妆容十讲 底妆训练营 妆容设计手册"),
        _words("口红 眼影盘 粉底液 腮红 睫毛膏 气垫 唇釉 定妆散粉"),
        (159, 129),
        1.3,
        -0.002,
    ),
    Topic(
        "outfit",
        "穿搭搭配",
        _words(
            "衬衫 西装 连衣裙 风衣 牛仔裤 阔腿裤 针织 毛衣 剪裁 面料 版型 叠穿 显瘦 配色 衣橱 半身裙 外套 大衣 "
            "羊毛 棉麻 廓形 穿搭 单品 基础款 显高 胶囊"
        ),
        _words("衣橱整理课 穿搭配色课 显瘦穿搭十讲 胶囊衣橱手册 面料与剪裁课"),
        _words("衬衫 连衣裙 西装外套 阔腿裤 针织衫 风衣 半身裙 羊毛大衣"),
        (179, 299),
        1.2,
        0.003,
    ),
    Topic(
        "style",
        "个人风格",
        _words(
            "形象 气质 风格 色彩 肤色 冷暖 四季 诊断 脸型 骨架 直线 曲线 量感 丝巾 审美 仪态 眼镜 帽子 胸针 配饰 "
            "优雅 知性 清冷 复古 法式"
        ),
        _words("色彩诊断课 个人风格定位课 形象管理十讲 气质养成手册 审美提升课"),
        _words("丝巾 发带 胸针 贝雷帽 平光眼镜 复古腰带"),
        (299, 139),
        0.9,
        0.0,
    ),
    Topic(
        "hair",
        "头皮养发",
        _words(
            "头皮 脱发 洗发水 护发素 发根 毛囊 控油 蓬松 发膜 染发 烫发 卷发 生姜 发质 头屑 氨基酸 发际线 梳子 吹风机 "
            "发量 柔顺 分叉 精油 干枯 按摩"
        ),
        _words("防脱养发课 头皮护理十讲 发型设计课 养发生活手册"),
        _words("洗发水 护发素 发膜 头皮精华 护发精油 气垫梳"),
        (129, 99),
        0.9,
        0.0,
    ),
    Topic(
        "aroma",
        "香氛疗愈",
        _words(
            "香薰 香水 前调 中调 尾调 木质 柑橘 花香 檀香 薰衣草 蜡烛 扩香 助眠 嗅觉 调香 茉莉 雪松 放松 冥想 沐浴 "
            "安神 琥珀 白茶 气味 留香"
        ),
        _words("调香入门课 香气疗愈课 嗅觉训练十讲 助眠冥想音频"),
        _words("香水 香薰蜡烛 扩香石 沐浴精油 香薰机 香膏"),
        (149, 269),
        0.8,
        0.002,
    ),
    Topic(
        "fitness",
        "健身塑形",
        _words(
            "健身 瑜伽 跑步 力量 深蹲 核心 拉伸 体态 减脂 增肌 心率 蛋白质 热量 训练 肌肉 哑铃 普拉提 马甲线 运动内衣 "
            "速干 腹肌 臀部 关节 呼吸 耐力"
        ),
        _words("体态矫正课 居家健身训练营 科学减脂课 瑜伽入门十讲 跑步训练手册"),
        _words("瑜伽裤 运动内衣 速干上衣 瑜伽垫 跑步鞋 筋膜枪"),
        (169, 189),
        1.1,
        0.004,
    ),
    Topic(
        "parenting",
        "亲子育儿",
        _words(
            "孩子 宝宝 育儿 辅食 睡眠 绘本 亲子 陪伴 情商 发育 幼儿园 母乳 孕期 哺乳 湿疹 尿布 玩具 启蒙 专注力 叛逆 "
            "表扬 婴儿 妈妈 抚触 身高"
        ),
        _words("亲子沟通课 婴幼儿睡眠课 绘本启蒙十讲 辅食喂养手册 专注力训练营"),
        _words("婴儿面霜 儿童防晒乳 孕妇护肤套装 宝宝沐浴露 哺乳连衣裙"),
        (189, 119),
        1.0,
        0.0,
    ),
    Topic(
        "career",
        "职场进阶",
        _words(
            "职场 面试 简历 领导 汇报 沟通 谈判 晋升 跳槽 管理 团队 目标 绩效 项目 会议 效率 演讲 复盘 同事 老板 "
            "薪资 职业 规划 副业 表达"
        ),
        _words("职场沟通课 面试通关课 高效汇报十讲 管理者训练营 职业规划手册"),
        (),
        (249, 0),
        1.4,
        0.0,
    ),
    Topic(
        "investing",
        "投资理财",
        _words(
            "基金 股票 债券 理财 收益 风险 定投 指数 估值 财报 现金流 资产 配置 保险 利率 复利 通胀 市盈率 分红 回撤 "
            "仓位 养老金 房产 存款 投资"
        ),
        _words("基金定投课 家庭资产配置课 财报阅读十讲 理财入门训练营 保险规划手册"),
        (),
        (299, 0),
        1.1,
        -0.003,
    ),
    Topic(
        "psychology",
        "心理成长",
        _words(
            "情绪 焦虑 抑郁 依恋 原生家庭 潜意识 人格 自卑 边界 亲密关系 咨询 创伤 内耗 共情 认知 压力 正念 自尊 "
            "防御 拖延 孤独 疗愈 接纳 心理学 动机"
        ),
        _words("情绪管理课 亲密关系课 人格心理学十讲 停止内耗训练营 正念练习音频"),
        (),
        (199, 0),
        1.3,
        0.003,
    ),
    Topic(
        "reading",
        "阅读写作",
        _words(
            "阅读 写作 小说 散文 名著 作家 故事 诗歌 笔记 书单 文学 叙事 人物 标题 素材 投稿 文案 修辞 经典 红楼梦 "
            "读书 出版 书评 段落 灵感"
        ),
        _words("名著精读课 写作训练营 文案写作十讲 小说创作课 读书笔记手册"),
        (),
        (129, 0),
        1.1,
        0.0,
    ),
    Topic(
        "tools",
        "智能工具",
        _words(
            "编程 代码 算法 数据 模型 人工智能 软件 自动化 表格 函数 程序员 开发 网页 数据库 机器学习 提示词 效率工具 "
            "脚本 接口 服务器 可视化 开源 插件 电脑 智能"
        ),
        _words("编程入门课 数据分析课 智能办公十讲 提示词训练营 自动化脚本手册"),
        (),
        (259, 0),
        1.0,
        0.005,
    ),
    Topic(
        "history",
        "历史人文",
        _words(
            "历史 皇帝 朝代 唐朝 宋朝 明朝 清朝 考古 文物 博物馆 战争 丝绸之路 史记 诗词 国风 汉服 礼仪 建筑 书法 "
            "瓷器 哲学 儒家 制度 科举 遗址"
        ),
        _words("中国通史课 宋朝生活十讲 博物馆文物课 诗词鉴赏音频 哲学入门手册"),
        (),
        (149, 0),
        0.8,
        0.0,
    ),
    Topic(
        "grooming",
        "男士理容",
        _words(
            "男士 剃须 胡须 须后水 理容 发蜡 油头 男生 清爽 剃须刀 泡沫 剃须膏 控油洁面 古龙水 寸头 鬓角 造型 鼻毛 "
            "刀片 体味 止汗 胡茬 理发 商务 皮带"
        ),
        (),
        _words("剃须刀 男士洁面乳 须后水 发蜡 男士护肤套装 止汗走珠"),
        (0, 149),
        0.9,
        0.0,
    ),
    Topic(
        "nails",
        "美甲手作",
        _words(
            "美甲 指甲油 甲片 光疗 贴纸 水钻 猫眼 指缘 护手霜 甲油胶 穿戴甲 渐变 亮片 手部 卸甲 打磨 底油 封层 "
            "晕染 手绘 裸粉 法式边 甲面 指尖 手膜"
        ),
        (),
        _words("穿戴甲 指甲油 美甲灯 护手霜 甲油胶套装 手膜"),
        (0, 79),
        0.7,
        0.0,
    ),
    Topic(
        "bags",
        "箱包首饰",
        _words(
            "手提包 单肩包 皮革 托特包 项链 耳环 戒指 手链 珍珠 钱包 链条 五金 牛皮 通勤包 腋下包 纯银 锁骨链 镀金 "
            "钻石 吊坠 双肩包 行李箱 皮具 耳钉 肩带"
        ),
        (),
        _words("托特包 单肩包 锁骨链 珍珠耳环 真皮钱包 银手链"),
        (0, 359),
        0.9,
        -0.002,
    ),
    Topic(
        "sun",
        "防晒出行",
        _words(
            "防晒 紫外线 防晒霜 遮阳伞 墨镜 晒黑 晒后 芦荟 喷雾 冰袖 防水 防汗 户外 海边 旅行 草帽 防晒衣 倍数 便携 "
            "露营 晒伤 补涂 清透 成膜 阳光"
        ),
        (),
        _words("防晒霜 防晒喷雾 防晒衣 遮阳伞 晒后修复凝胶 墨镜"),
        (0, 109),
        1.0,
        0.006,
    ),
)

TOPIC_KEYS: tuple[str, ...] = tuple(topic.key for topic in TOPICS)

# Where a taste of the knowledge side goes on the beauty side (weights of a row add up to 1).
CARRY_OVER: dict[str, dict[str, float]] = {
    "skincare": {"skincare": 0.80, "sun": 0.15, "makeup": 0.05},
    "makeup": {"makeup": 0.80, "nails": 0.15, "skincare": 0.05},
    "outfit": {"outfit": 0.80, "bags": 0.15, "style": 0.05},
    "style": {"style": 0.70, "outfit": 0.15, "bags": 0.15},
    "hair": {"hair": 0.85, "skincare": 0.15},
    "aroma": {"aroma": 0.90, "nails": 0.10},
    "fitness": {"fitness": 0.75, "sun": 0.25},
    "parenting": {"parenting": 0.90, "skincare": 0.10},
    "career": {"outfit": 0.60, "bags": 0.40},
    "investing": {"grooming": 0.70, "bags": 0.30},
    "psychology": {"aroma": 0.75, "nails": 0.25},
    "reading": {"style": 0.60, "aroma": 0.40},
    "tools": {"grooming": 0.70, "hair": 0.30},
    "history": {"style": 0.40, "sun": 0.60},
}


def topics_of(domain: str) -> tuple[int, ...]:
    """Positions in `TOPICS` of the topics that a domain sells.

    Args:
        domain: `knowledge` or `beauty`.

    Returns:
        Ascending positions.
    """
    return tuple(
        number for number, topic in enumerate(TOPICS) if (topic.courses if domain == KNOWLEDGE else topic.products)
    )


def shared_topics() -> tuple[int, ...]:
    """Positions in `TOPICS` of the topics that both domains sell, ascending."""
    beauty = set(topics_of(BEAUTY))
    return tuple(number for number in topics_of(KNOWLEDGE) if number in beauty)


def carry_over_matrix() -> np.ndarray:
    """The planted relation between tastes: knowledge topics (rows) to beauty topics (columns).

    Returns:
        float64 array of shape (topics of knowledge, topics of beauty), in the order of `topics_of`; rows add up to 1.
    """
    columns = {TOPIC_KEYS[number]: place for place, number in enumerate(topics_of(BEAUTY))}
    matrix = np.zeros((len(topics_of(KNOWLEDGE)), len(columns)))
    for row, number in enumerate(topics_of(KNOWLEDGE)):
        for key, weight in CARRY_OVER[TOPIC_KEYS[number]].items():
            matrix[row, columns[key]] = weight
    return matrix

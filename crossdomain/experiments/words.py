"""Words of the reports and charts, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["zh", "en"]

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "units": "units", "passed": "all checks passed", "failed": "CHECKS FAILED, do not decide on these numbers",
        "measured": "measured", "too_few_units": "too few units to test", "primary": "primary",
        "zero_variance": "no variation to test", "zero_denominator": "the denominator is zero",
        "not_finite": "NaN or infinite values, not measured", "missing_values": "missing values, not measured",
        "weights_changed": "the weights changed, not measured",
        "too_small": "too few units in an arm to be told",
        "interval": "interval", "relative": "relative", "to": "to", "adjusted": "adjusted",
        "decision": "decision", "none": "none (no automatic decision)",
        "ship": "ship", "stop": "stop", "continue": "continue", "harm": "harm: take it back",
        "relative_effects": "Relative effects with intervals", "daily_effect": "Effect day by day",
        "daily_legend": "effect of all units so far; dark: interval of the day alone; light: bound over all days",
        "no_days": "no days to show", "no_units": "units are not known, only counts",
        "split": "Units by variant", "split_legend": "bar: units; line: the design's weight",
        "power_curve": "Power curve", "true_effect": "true effect",
        "hypothesis": "Hypothesis", "owner": "Owner", "checks": "Checks", "results": "Results", "metric": "metric",
        "variant": "variant", "mean": "mean", "control": "control", "effect": "effect", "check": "check",
        "found": "found", "rule": "rule", "why": "numbers", "parts": "By segment and dimension",
        "better": "probability of being better", "days": "days", "method": "analysis",
        "fixed": "fixed, once at the end", "group_sequential": "group sequential, at the planned looks",
        "always_valid": "always valid, on any day", "p": "p", "p_adjusted": "p adjusted",
    },
    "zh": {
        "units": "样本", "passed": "检查全部通过", "failed": "检查未通过，请勿据此决策",
        "measured": "已测量", "too_few_units": "样本太少，无法检验", "primary": "主要指标",
        "zero_variance": "没有差异，无法检验", "zero_denominator": "分母为零",
        "not_finite": "含 NaN 或无穷值，未测量", "missing_values": "含缺失值，未测量",
        "weights_changed": "分流比例已变，未测量", "too_small": "某组样本过少，不予显示",
        "interval": "区间", "relative": "相对", "to": "至", "adjusted": "校正后",
        "decision": "结论", "none": "无（不自动决策）",
        "ship": "上线", "stop": "停止", "continue": "继续", "harm": "有害，撤回",
        "relative_effects": "相对效应与区间", "daily_effect": "逐日效应",
        "daily_legend": "截至当日全部样本的效应；深色：当日单独的区间；浅色：对所有日子同时成立的界",
        "no_days": "没有可显示的日期", "no_units": "只有计数，没有样本单位",
        "split": "各组样本量", "split_legend": "条：样本；线：设计权重",
        "power_curve": "功效曲线", "true_effect": "真实效应",
        "hypothesis": "假设", "owner": "负责团队", "checks": "检查", "results": "结果", "metric": "指标",
        "variant": "实验组", "mean": "均值", "control": "对照组", "effect": "效应", "check": "检查项",
        "found": "发现", "rule": "规则", "why": "数字", "parts": "按分群与维度",
        "better": "更优的概率", "days": "日期", "method": "分析方式",
        "fixed": "固定样本，结束时检验一次", "group_sequential": "成组序贯，在计划的时点检验",
        "always_valid": "始终有效，任何一天都可看", "p": "p 值", "p_adjusted": "校正 p 值",
    },
}  # fmt: skip


def words(language: Language) -> Mapping[str, str]:
    """Words of a language by their keys."""
    return _WORDS[language]

"""Measures of similarity on a corpus whose tags are its topics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app

WORDS = {
    "skin": ["护肤", "敏感肌", "面霜", "保湿", "屏障", "烟酰胺", "精华", "修护", "角质", "泛红", "补水", "美白"],
    "hair": ["头皮", "洗发水", "脱发", "护发素", "发膜", "毛囊", "蓬松", "染发", "发质", "控油", "头屑", "生发"],
    "money": ["基金", "股票", "理财", "定投", "债券", "利率", "收益", "资产", "保险", "复利", "分红", "市值"],
}


def corpus(path: Path, items: int = 90) -> Path:
    rng = np.random.default_rng(1)
    rows = []
    for number in range(items):
        about = list(WORDS)[number % 3]
        text = "，".join(rng.choice(WORDS[about], 8))
        rows.append({"id": f"i{number}", "domain": ("knowledge", "beauty")[number % 2], "text": text, "tags": [about]})
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def test_measures_of_a_corpus_whose_tags_are_its_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_TOPICS", "3")
    path = corpus(tmp_path / "corpus.jsonl")
    runs = [CliRunner().invoke(app, ["evaluate", "similarity", "--corpus", str(path), "--json"]) for _ in range(2)]
    assert runs[0].exit_code == 0, runs[0].output
    assert runs[0].stdout == runs[1].stdout
    found = json.loads(runs[0].stdout)
    assert found["items"] == 90
    assert found["recall"]["value"] == 1.0
    assert len(found["theta"]) == 4
    assert all(row["theta"] is not None for row in found["theta"])
    tagged = found["precision_at_10"]
    assert tagged["chance"] == pytest.approx(29 / 89, abs=1e-4)
    for name in ("blend", "cosine", "jaccard"):
        assert tagged[name]["low"] <= tagged[name]["value"] <= tagged[name]["high"]
        assert tagged[name]["value"] > 0.95
    table = CliRunner().invoke(app, ["evaluate", "similarity", "--corpus", str(path)])
    assert "precision@10" in table.stdout

"""Answers of both customer services: invented questions and answers, the same every day."""

from __future__ import annotations

import pyarrow as pa

from crossdomain.demo.contacts import ContactBook
from crossdomain.demo.topics import BEAUTY, DOMAINS, KNOWLEDGE, TOPICS, topics_of

_GENERAL = {
    KNOWLEDGE: (
        ("买了课程以后在哪里听？", "登录后打开“我的学习”，已购课程都在那里，手机和网页都能听。"),
        ("课程可以退款吗？", "购买七天内、学习进度不到两讲的课程可以在订单页申请退款。"),
        ("电子书能下载到本地吗？", "电子书可以在应用内离线阅读，暂不支持导出文件。"),
        ("怎么开具发票？", "在“我的订单”中选择订单，点击“申请发票”，一个工作日内发到邮箱。"),
        ("课程有有效期吗？", "单独购买的课程长期有效，会员课程在会员期内有效。"),
        ("换了手机号怎么登录？", "请在“账号与安全”里更换手机号；旧号码停用时请联系人工客服核实。"),
        ("听课时没有声音怎么办？", "请先检查静音开关，再退出重新进入；仍无声音请告诉我们机型。"),
        ("优惠券为什么用不了？", "请查看优惠券的适用课程和到期时间，一个订单只能用一张。"),
    ),
    BEAUTY: (
        ("多久发货？", "下午四点前付款当天发货，之后次日发货，大促期间顺延一到两天。"),
        ("可以七天无理由退货吗？", "未拆封的商品支持七天无理由退货，已开封的护肤品除质量问题外不退。"),
        ("收到的商品破损怎么办？", "请在签收后 48 小时内拍照联系我们，会为您补发或退款。"),
        ("怎么查看物流？", "在订单详情里点击“查看物流”即可，单号会同步短信通知。"),
        ("会员积分怎么用？", "一百积分抵一元，结算时勾选“使用积分”。"),
        ("尺码不合适可以换吗？", "吊牌完好、不影响二次销售的服饰可以换一次，运费由我们承担。"),
        ("是正品吗？", "所有商品由品牌直接供货，支持扫码验真。"),
        ("怎么注销会员？", "在“设置—账号注销”提交申请，我们会删除您的个人信息。"),
    ),
}
_BY_TOPIC = {
    KNOWLEDGE: (
        ("{0}课程适合零基础的人吗？", "适合。{0}课程从{1}讲起，每讲都有{2}的练习。"),
        ("学{0}要先学什么？", "建议先听免费的{1}试听课，再选正式课程。"),
    ),
    BEAUTY: (
        ("{0}类商品怎么选？", "先看{1}，再看{2}；拿不准可以把情况告诉我们，客服帮您挑。"),
        ("{0}类商品怎么保存？", "请放在阴凉处，留意{1}，开封后尽快用完或妥善收纳。"),
    ),
}
_WITH_CONTACT = {
    KNOWLEDGE: (
        ("下单时手机写成了13900001234，怎么改？", "在订单页点“修改联系方式”即可，已为您核对 13900001234。"),
        (("question", "mobile", "13900001234"), ("answer", "mobile", "13900001234")),
    ),
    BEAUTY: (
        (
            "收货地址错了，应该是浙江省杭州市余杭区虚构路969号，能改吗？",
            "未发货的订单可以改，有疑问请拨打 400-000-1234。",
        ),
        (("question", "address", "浙江省杭州市余杭区虚构路969号"),),
    ),
}
"""An entry a domain that was copied from a conversation, with the contacts in it."""


def support_table() -> pa.Table:
    """All entries of both domains, by entry id: general ones, two a topic, and one with a contact in it."""
    rows: list[tuple[str, str, str, str]] = []
    for domain in DOMAINS:
        entries = list(_GENERAL[domain])
        for number in topics_of(domain):
            topic = TOPICS[number]
            entries += [
                (ask.format(topic.name, *topic.words[:2]), say.format(topic.name, *topic.words[:2]))
                for ask, say in _BY_TOPIC[domain]
            ]
        entries.append(_WITH_CONTACT[domain][0])
        rows += [(f"{domain[0]}s{number:03d}", domain, ask, say) for number, (ask, say) in enumerate(entries, 1)]
    columns = ("entry_id", "domain", "question", "answer")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(columns)})


def note_contacts(book: ContactBook) -> ContactBook:
    """Note the contacts of the support entries; they are the same every day. Returns the book."""
    table = support_table().to_pylist()
    for domain, (entry, contacts) in _WITH_CONTACT.items():
        row = next(row for row in table if (row["question"], row["answer"]) == entry)
        for column, kind, value in contacts:
            book.note(row[column], value, kind=kind, domain=domain, row_id=row["entry_id"], feed=f"support_{column}")
    return book

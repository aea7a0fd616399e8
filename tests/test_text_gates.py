"""Each gate: the same words, where they mean misconduct and where they do not, with the reason that is told."""

from __future__ import annotations

import pytest

from rules.text.result import Finding, Screened
from rules.text.screen import UNIT_FIELDS, Screener
from tests.text_support import pack


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener(pack().lexicon)


def _found(screened: Screened, category: str) -> Finding | None:
    return next((one for one in screened.findings if one.category == category), None)


def _gates(screened: Screened, category: str) -> dict[str, str]:
    """Return why the cues of a category were stopped or weakened, by gate."""
    return {
        verdict.gate: verdict.reason
        for one in screened.seen
        if one.hit.category == category
        for verdict in one.verdicts
        if verdict.factor < 1
    }


@pytest.mark.parametrize(
    ("text", "category", "gate", "reason"),
    [
        ("小区的办公车位被占了,请城管处理", "C12", None, ""),
        ("村主任没有收红包,是误会", "C08", "negation", "没有"),
        ("如果村主任收红包怎么办", "C08", "hypothetical", "如果"),
        ("希望加强监督,防止村干部收红包", "C08", "negation", "防止"),
        ("建议村主任不要收红包", "C08", "negation", "不要"),
        ("担心村主任会收红包", "C08", "hypothetical", "担心"),
        ("《村支书收受贿赂》这部电视剧在哪个台播", "C08", "quotation", "书名号"),
        ("听说村主任收了红包,5000元", "C08", "hearsay", "听说"),
        ("请市监局查处超市行贿进货,老板给业务员塞钱", "C08", "actor", ""),
        ("小区物业公司乱收费,停车费涨到每月300元", "C11", "actor", ""),
    ],
)
def test_what_stops_or_weakens_a_cue_says_why(
    screener: Screener, text: str, category: str, gate: str | None, reason: str
) -> None:
    screened = screener.explain(text)
    found = _found(screened, category)
    if gate is None:
        assert found is None
        return
    gates = _gates(screened, category)
    assert gate in gates, screened.seen
    assert reason in gates[gate]
    assert found is None or found.confidence <= 60


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("村支书张某去年收了我五千块红包,有转账记录", "C08"),
        ("社区书记经常接受物业公司宴请,上个月在饭店吃了三次", "C01"),
        ("民警收了对方好处费,还把我的举报信转给他", "C08"),
        ("窗口的办事员态度蛮横,辱骂群众", "C07"),
        ("村主任把集体的钱私分了,2023年分了8万元", "C10"),
        ("不作为的城管让我们等了半年", "C04"),
    ],
)
def test_the_same_words_of_an_official_count(screener: Screener, text: str, category: str) -> None:
    found = _found(screener.screen(text), category)
    assert found is not None
    assert found.layer == "cue"
    assert found.confidence >= 45


@pytest.mark.parametrize(
    "text",
    [
        "感谢王所长去年拒收我送的两千元红包,在派出所帮我办了户口",
        "李科长不收红包不吃请,去年5月在大厅给我办好了补贴2000元",
        "村支书张某不可能收老板的5万元红包,去年5月我们全村都在场",
        "镇长谢绝了老板的宴请,昨天中午在食堂自己花15元吃饭",
        "李科长去年5月当面退还了我送的2000元购物卡",
        "局长说过谁收红包就处理谁,去年处理了3人,罚了2万元",
        "昨天新闻联播播了某县长收受红包500万元",
        "市纪委通报:某镇长收受红包5万元",
        "如果村主任收了5万元红包怎么举报",
        "民警张某昨晚8点在中山路执法时被醉汉殴打,住院花了5000元",
        "交警执法时被司机推倒殴打,住院花了5000元",
    ],
)
def test_who_refused_was_harmed_or_is_only_told_of_is_accused_of_nothing(screener: Screener, text: str) -> None:
    assert not [one for one in screener.screen(text).findings if one.layer == "cue"]


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("民警王某去年5月在派出所殴打我,肋骨断了两根,有录像", "C05"),
        ("城管去年把我打了,住院花了2万元", "C05"),
        ("村支书就是个骗子,去年5月在饭店收了老板红包5万元,有录音", "C08"),
        ("这不是造谣,村支书去年5月在饭店收了老板红包5万元,有录音", "C08"),
        ("我在村委会亲眼看见村支书去年收受红包5万元,有录音", "C08"),
    ],
)
def test_what_only_looks_harmless_counts_in_full(screener: Screener, text: str, category: str) -> None:
    found = _found(screener.screen(text), category)
    assert found is not None
    assert found.confidence >= 60


@pytest.mark.parametrize(
    "number", ["①⑨⑨⓪⓪⓪⓪①②③④", "199,0000,1234", "𝟏𝟗𝟗𝟎𝟎𝟎𝟎𝟏𝟐𝟑𝟒", "1\u200b9\u200b9\u200b0000\u200b1234"]
)
@pytest.mark.parametrize("filler", range(0, 40, 3))
def test_a_number_at_the_edge_of_a_quote_is_not_cut_in_two(screener: Screener, number: str, filler: int) -> None:
    told = "村支书收红包不给办事"
    for text in (f"{number}{'啊呀' * filler}{told}", f"{told}{'啊呀' * filler}{number}"):
        for one in screener.screen(text).findings:
            shown = [part for part in number if part.isnumeric() and part in one.quote]
            assert not shown or "〔" in one.quote


def test_no_quote_is_longer_than_sixty_characters(screener: Screener) -> None:
    assert all(len(one.quote) <= 60 for one in screener.screen("村支书收红包" + "1栋" * 25).findings)


def test_a_title_of_two_lines_is_not_read_again_with_the_content(screener: Screener) -> None:
    found = screener.screen("路灯坏了三天,请派人修理", before="投诉\n村支书收红包五万元").findings
    assert not [one for one in found if one.layer == "cue"]


def test_what_is_denied_twice_is_affirmed(screener: Screener) -> None:
    assert _found(screener.screen("难道村主任没有收红包吗?2023年他收了我5000元"), "C08") is not None


def test_an_official_who_is_the_victim_is_not_the_actor(screener: Screener) -> None:
    screened = screener.explain("商贩辱骂城管队员,还动手打人")
    assert _found(screened, "C07") is None or _found(screened, "C07").actor != "official"  # type: ignore[union-attr]


def test_somebody_who_poses_as_an_official_is_none(screener: Screener) -> None:
    assert _found(screener.screen("有人自称社保局的人,要收200元好处费,疑似诈骗"), "C02") is None


def test_a_private_actor_is_marked_for_the_hotline_only(screener: Screener) -> None:
    screened = screener.screen("公司老板收红包吃回扣")
    assert "C08" not in {one.category for one in screened.findings}
    assert "C08" in screened.private


def test_a_question_counts_only_where_it_tells_of_a_completed_act_of_an_official(screener: Screener) -> None:
    asks = screener.screen("咨询:公务员收红包是什么处分?")
    tells = screener.screen("我想咨询一下,我给村主任送了两千块钱红包,他2023年5月收了,要承担责任吗?")
    assert not asks.findings
    found = _found(tells, "C08")
    assert found is not None


@pytest.mark.parametrize("field", sorted(UNIT_FIELDS))
def test_what_a_unit_says_is_never_screened(screener: Screener, field: str) -> None:
    text = "村支书张某去年收了我五千块红包,有转账记录"
    assert screener.screen(text).findings
    assert screener.screen(text, field) == Screened()


def test_a_title_says_who_is_meant_but_its_cues_do_not_count_twice(screener: Screener) -> None:
    alone = screener.screen("他去年收了我五千块红包,有转账记录,不给就不办")
    after = screener.screen("他去年收了我五千块红包,有转账记录,不给就不办", before="反映村支书张某的问题")
    assert max((one.confidence for one in after.findings), default=0) >= max(
        (one.confidence for one in alone.findings), default=0
    )
    assert all(one.hit.start >= len("反映村支书张某的问题") for one in after.seen)


def test_specificity_counts_time_amount_place_person_and_evidence(screener: Screener) -> None:
    vague = _found(screener.screen("村支书收红包"), "C08")
    exact = _found(screener.screen("2023年5月12日晚上,村支书张某在镇上的饭店收了我5000元红包,有转账记录和录音"), "C08")
    assert vague is not None
    assert exact is not None
    assert vague.specificity < 3 <= exact.specificity
    assert "金额" in exact.details


def test_a_quote_shows_no_identity_and_no_fine_place(screener: Screener) -> None:
    text = "我是张某某(电话199-0000-1234),3栋2单元501室,村支书收了我红包5000元"
    quotes = "".join(one.quote for one in screener.screen(text, names=("张某某",)).findings)
    assert quotes
    for secret in ("199", "1234", "张某某", "501"):
        assert secret not in quotes


def test_explaining_finds_what_screening_finds(screener: Screener) -> None:
    for text in ("村主任收红包,物业公司不作为", "社区书记天天有人请吃饭", "路灯坏了"):
        assert screener.explain(text).findings == screener.screen(text).findings


def test_offsets_of_a_cue_are_those_of_the_original_text(screener: Screener) -> None:
    text = "村支书 张某,去年 收了 我的 紅\u200b包,有转账记录"
    for one in screener.explain(text).seen:
        assert text[slice(*one.span)] == one.words

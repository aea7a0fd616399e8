"""What a pack's files say of texts: `words.yaml` (actors, negation, questions …) and the `text:` section of a rule."""

from typing import Annotated, Literal

from pydantic import Field

from models.base import Contract

Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=60)]], Field(max_length=2_000)]


class WordsFile(Contract):
    """`words.yaml`: the words that decide what a cue means where it stands."""

    official: Annotated[Words, Field(description="A1: posts and bodies whose conduct is supervised")]
    generic: Annotated[Words, Field(description="A1 too wide to accuse anybody by: 有关部门, 街道")]
    collective: Annotated[Words, Field(description="the body as people call it: 村里, 所里")]
    staff: Annotated[Words, Field(description="A2: official only beside an office: 工作人员, 领导")]
    private: Annotated[Words, Field(description="A3: not supervised: merchants, property managers, neighbours")]
    frontline: Annotated[
        Words, Field(description="staff of public services who are not managers: nurses, drivers, teachers")
    ]
    no_actor: Annotated[
        Words, Field(description="words that hold an actor's name and mean another thing: 小区里, 办公室主任")
    ]
    offices: Annotated[Words, Field(description="what makes a staff member beside it an official one")]
    asking: Annotated[Words, Field(description="before a body that is asked to act: 希望, 请, 建议")]
    acting: Annotated[Words, Field(description="what a body is asked to do: 查处, 核实")]
    telling: Annotated[Words, Field(description="what one does towards a body: 反映, 投诉")]
    posing: Annotated[Words, Field(description="before a body that somebody pretends to be: 冒充, 自称")]
    fraud: Annotated[Words, Field(description="a swindle is told of: 诈骗, 骗子")]
    being: Annotated[Words, Field(description="before the post the speaker holds: 我是, 本人是")]
    suffering: Annotated[Words, Field(description="between a victim and who did it: 被, 遭")]
    negators: Words
    affirming: Annotated[Words, Field(description="double negation and rhetorical question: 不是没有, 难道没有")]
    despite: Annotated[Words, Field(description="between a missing formality and the act: 就, 便, 直接")]
    breakers: Annotated[Words, Field(description="where a negation ends: 但, 可是")]
    hypothetical: Words
    suggestion: Annotated[Words, Field(description="wishes for the future: 建议加强, 希望以后")]
    hearsay: Words
    doubt: Annotated[Words, Field(description="the speaker asks himself: 是不是, 谁是")]
    clearing: Annotated[
        Words, Field(description="the speaker clears somebody or takes something back, anywhere: 更正, 造谣")
    ]
    media: Annotated[Words, Field(description="the text is about a film, an exhibition, a slogan, anywhere in it")]
    consultation: Words
    praise: Words
    quotation: Words
    completed: Annotated[Words, Field(description="it has happened: 了, 过, 至今")]
    time: Annotated[Words, Field(description="RE2: when")]
    amount: Annotated[Words, Field(description="RE2: how much")]
    place: Annotated[Words, Field(description="RE2: where")]
    person: Annotated[Words, Field(description="RE2: who")]
    evidence: Annotated[Words, Field(description="RE2: recordings, receipts, witnesses")]
    variants: dict[str, Words] = Field(default_factory=dict)
    common: Annotated[
        Words, Field(description="in every other text: a cue with gaps is looked for from another of its parts")
    ] = Field(default_factory=list)


class TextExample(Contract):
    """A text that must be found, at this level by its words alone (and not above it)."""

    text: str
    level: Literal["blue", "yellow", "red"]


class HardNegative(Contract):
    """A text with the rule's words that is no case for discipline."""

    text: str
    why: str


class NearPattern(Contract):
    """A pattern, tried only around its `near` words, so that most texts pay nothing for it."""

    near: Annotated[str, Field(description="a cue: words, / between alternatives, … for a gap")]
    re: Annotated[str, Field(max_length=500, description="RE2, on forty characters before and sixty after")]


class TextSection(Contract):
    """What a category is told by. Every list holds cues as `rules/text/phrases.py` describes them."""

    definition: str
    counterpart: Annotated[bool, Field(description="somebody private belongs to the act: a host, a giver")] = False
    own_actor: Words = Field(
        default_factory=list, description="cues that only fit an official or the handling of a ticket"
    )
    cues: Words = Field(default_factory=list)
    mild: Words = Field(default_factory=list, description="cues that do not bear the highest level")
    broad: Words = Field(
        default_factory=list, description="cues that many an ordinary complaint has too: blue by themselves"
    )
    weak: Words = Field(
        default_factory=list, description="everyday words: they count only where the second layer agrees"
    )
    hints: Words = Field(default_factory=list, description="told without its words; never above blue")
    patterns: list[NearPattern] = Field(default_factory=list, description="for what cues cannot say")
    severe: Words = Field(default_factory=list, description="RE2: what makes it worse, near the cue")
    innocent: Words = Field(default_factory=list, description="words in which a cue is no cue: 办公车位")
    examples: list[TextExample] = Field(min_length=1)
    hard_negatives: list[HardNegative] = Field(min_length=1)

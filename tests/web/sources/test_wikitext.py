import time

import pytest

from stages.web.sources.wikitext import to_markdown

HIDDEN = {"file", "image", "category", "bild"}

PAGE = """{{Infobox | name = {{lang|fr|x}} | image = [[File:a.jpg|thumb|A [[cap]]]] }}
<!-- a comment -->'''Quick''' ({{lang|fr|Vite}}; born 1960, {{age}}) is a [[fox|brown ''fox'']]<ref n=x>{{cite}}</ref>
in [http://x.y the garden].[[Bild:b.jpg|mini|Ein [[Ort]] hier]]&nbsp;It has [[tails#Two]] &lt;b&gt;.<ref name=x />

== History ==
=== Empty ===
=== Lists ===
* one
** inner [[two]]
# first
# second
{| class="wikitable"
|+ style="x" | Caption
! scope="col" | a !! b
|-
| 1 || style="color:red" | [[c|2]]
|-
| 3
| 4
more
|}
<syntaxhighlight lang="python">
def f():
    return "a | [[b]] {{c}}"
</syntaxhighlight>
Where <math>a^2</math> and <nowiki>[[this]]</nowiki> stay.__NOTOC__
== References ==
{{reflist}}
[[Category:X]]
[[fr:Renard]]
"""


def test_structure_stays_and_markup_goes() -> None:
    assert to_markdown(PAGE, HIDDEN) == (
        "Quick (Vite; born 1960) is a brown fox in the garden. It has tails <b>.\n\n## History\n\n### Lists\n\n"
        "- one\n  - inner two\n1. first\n2. second\n\nCaption\n\na | b\n1 | 2\n3 | 4 more\n\n"
        '```\ndef f():\n    return "a | [[b]] {{c}}"\n```\n\nWhere $a^2$ and [[this]] stay.'
    )


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("a {{b} c", "a b} c"),
        ("a {{b [[c|d]] e", "a b d e"),
        ("a [[b {{c]] d}} e", "a b e"),
        ("a [[b|c", "a b|c"),
        ("a [http://b c\nd]", "a [http://b c d]"),
        ("a ]] }} b", "a ]] }} b"),
        ("{{{a|{{b}}}}} c", "c"),
        ("a <ref> b", "a b"),
        ("<!-- a", "<!-- a"),
        ("{|\n| a\n| b", "a | b"),
        ("[[:Category:A]] [[fr:B|shown]]", "Category:A shown"),
        ("-{zh-hans:简;zh-hant:繁}-体", "简体"),
        ("# a\n\ntext\n# b", "1. a\n\ntext\n\n1. b"),
        ("a\x000\x00b", "a0b"),
        ("{|\n! !! a !! b\n|-\n| x || || 2\n|-\n| y || 1 ||\n|}", "| a | b\nx | | 2\ny | 1"),
        ("[[Imagen:a b.JPG|thumb|pie]]b [[Grafika:c.svg]] [[:Imagen:d.png]] [[Re: a.b|c]]", "b Imagen:d.png c"),
        (
            "{{lang|de|'''Köln'''}} has {{nowrap|1=1 million}} in {{cvt|10|km2|abbr=on}}.",
            "Köln has 1 million in 10 km2.",
        ),
        (
            "{{convert|5|to|10|km|mi}}, {{cvt|6|ft|2|in|m}}, {{formatnum:12345}}{{efn|no}}",
            "5 to 10 km, 6 ft 2 in, 12345",
        ),
        ("{{nihongo|'''Naruto'''|ナルト|Naruto}} met {{ill|Hans|de|Hans (Maler)}}.", "Naruto met Hans."),
        ("{{仮リンク|ハンス|de|Hans}}は{{le|漢斯|Hans}}", "ハンスは漢斯"),
        ("{{нп5|Мюллер, Ханс|Ханса|de}}, {{не переведено|Ханс||de}}, {{lang-de|Köln}}", "Ханса, Ханс, Köln"),
        (
            "le {{1er}} mai, {{date|14|juillet|1789}}, {{s|XIX}} : {{nb|1000}}",
            "le 1er mai, 14 juillet 1789, XIX : 1000",
        ),
        ("a{{snd}}b{{mdash}}10{{nbsp}}km of CO{{sub|2}}, {{chem|H|2|O}}", "a – b—10 km of CO2, H2O"),
        (
            "{{HMS|Victory|1765|6}}, {{ship|RMS|Titanic}}, {{sortname|John|Smith}}",
            "HMS Victory, RMS Titanic, John Smith",
        ),
        (
            "Text:\n  '''if''' a &lt; b\n    [[print|say]] a\n  done\nmore",
            "Text:\n\n```\nif a < b\n  say a\ndone\n```\n\nmore",
        ),
        ("A\n B c.\nD", "A\n\nB c.\n\nD"),  # one line is hardly meant so
        ("A\n " + "b " * 60 + "\n c", "A\n\n" + "b " * 59 + "b\n\nc"),
        (" a\n b", "```\na\nb\n```"),
        ("A\n{{x}} b\n{{y}} c", "A b c"),  # not indented in the source
        ("<div>\n a\n b\n</div>\n c\n d", "a b\n\n```\nc\nd\n```"),
        ("{|\n | a\n | b\n |}\n  {|\n  ! c\n  |}", "a | b\nc"),
        ("A\n \n  \nb\x01c", "A\n\nbc"),
        ("A\n <math>x</math>\n\n b", "A\n\n$x$\n\nb"),
        ("[[a|b\n c\n d]]", "b c d"),
        ("* {{cite|x}}.\n* a\n\n{{x}}, {{y}}.\n\n—\n\n$", "- a"),
        ("{|\n| a || colspan=\"2\" {{n/a}} || style='x' align=left || b=c\n|}", "a | | | b=c"),
        ("{{quote|Words of [[a|one]].|Author}}{{{lang|de|x}}}{{lang}}{{nowrap}}{{convert|1}}", "Words of one.1"),
    ],
)
def test_markup_that_is_open_or_odd_loses_no_text(wikitext: str, text: str) -> None:
    assert to_markdown(wikitext, HIDDEN) == text


@pytest.mark.parametrize(
    "unit",
    ["{{", "[[", "[[a|", "{|\n", "{|\n|a\n", "|-\n", "<ref>", "<b ", "<nowiki>", "''a", "[http://a ", "==\n", "<!--",
     "-{a|", "{{a|[[b|{|\n! ", "&amp", "(", ",", "* \n", "{|\n|a\n" + "b\n" * 50, "a=b|", "\n a", "\n  ", "\n a`",
     "{|\n|" + "id=a" * 1000, "{|\n|" + "id=a " * 1000],
)  # fmt: skip
def test_time_is_linear_whatever_is_in_a_page(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.process_time()
        to_markdown(text, HIDDEN)
        return time.process_time() - start

    # Ten times for four times the text is far from what a quadratic step takes, 16 times, with room for a busy machine.
    assert seconds(80_000) < 10 * seconds(20_000) + 0.1

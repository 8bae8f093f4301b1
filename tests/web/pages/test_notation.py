"""Superscripts, subscripts and formulas in the text of pages."""

import time

import numpy as np
import pytest

from stages.web.pages import blocks, html, notation, structure

MATHML = "<semantics><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow>{}</semantics>"
TEX = '<annotation encoding="application/x-tex">{}</annotation>'
KATEX = (
    '<span class="katex"><span class="katex-mathml"><math xmlns="http://www.w3.org/1998/Math/MathML">'
    + MATHML.format(TEX.format("x^2"))
    + '</math></span><span class="katex-html" aria-hidden="true"><span class="base"><span class="mord">x</span>'
    '<span class="vlist"><span>2</span></span></span></span></span>'
)
WIKIPEDIA = (
    '<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;">'
    '<math alttext="{\\displaystyle x^{2}}">' + MATHML.format(TEX.format("{\\displaystyle x^{2}}")) + "</math></span>"
    '<img src="x.svg" class="mwe-math-fallback-image-inline" alt="{\\displaystyle x^{2}}"></span>'
)


def written(page: str, *left_out: str) -> str:
    """The text of a page of whose blocks all are chosen but those that hold one of some words."""
    normalised, reason = html.normalised(page, 100_000)
    assert not reason
    found = blocks.read(normalised)
    assert found is not None
    kept = [not any(word in text for word in left_out) for text in found.texts]
    (text,) = structure.written(found, np.array(kept))
    return text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("10<sup>6</sup> and 2<sup>64</sup>", "10^6 and 2^64"),
        ("10<sup>\u22126</sup>, 10<sup>-3</sup>", "10^{\u22126}, 10^{-3}"),
        ("<i>x</i><sup>2</sup>y<sup>n+1</sup>z<sup>n</sup>", "x^2y^{n+1}z^n"),
        ("5000 m<sup>2</sup>, 7 km<sup>2</sup>, 3 cm<sup>3 </sup>of it", "5000 m^2, 7 km^2, 3 cm^3 of it"),
        ("m s<sup>\u22121</sup>, mol<sup>-1</sup>", "m s^{\u22121}, mol^{-1}"),
        ("(a + b)<sup>2</sup> = a<sup>2</sup>", "(a + b)^2 = a^2"),
        ("2<sup>2n</sup>, e<sup>-x</sup>, A<sup>T</sup>", "2^{2n}, e^{-x}, A^T"),
        ("x<sub>i</sub>, x<sub>n+1</sub>, V<sub>max</sub>, c<sub>0</sub>", "x_i, x_{n+1}, V_{max}, c_0"),
        ("x<sub>i</sub><sup>2</sup>, a<sub>ij</sub><sup>2</sup>", "x_i^2, a_{ij}^2"),
        ("2<sup>1</sup>/<sub>2</sub> or 10<sup>6</sup>/2, IP68<sup>2</sup>", "2 1/2 or 10^6/2, IP68^2"),
        ("<b>$1,549</b><sup>00</sup>, \u20ac2<sup>10</sup>", "$1,549.00, \u20ac2^10"),
        ("101<sub>2</sub>, log<sub>2</sub> n", "101_2, log_2 n"),
    ],
)
def test_exponents_and_indices_are_told_from_what_they_stand_at(page: str, text: str) -> None:
    assert written(f"<p>{page}</p>") == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("the 1<sup>st</sup>, 2<sup>nd</sup>, XX<sup>e</sup>, 1<sup>o</sup>", "the 1st, 2nd, XXe, 1o"),
        ("M<sup>me</sup>, n<sup>o</sup>, D<sup>r</sup>, Mag.<sup>a</sup>", "Mme, no, Dr, Mag.a"),
        ('so it is<sup>[1]</sup>, they say.<sup><a href="#fn2">2</a></sup>', "so it is[1], they say.2"),
        ("Jane Doe<sup>1,2</sup>, Smith<sup>1</sup>", "Jane Doe1,2, Smith1"),
        ("Pantone<sup>\u00ae</sup>, <sup>$</sup>49, 8<sup>\u00b0</sup>", "Pantone\u00ae, $49, 8\u00b0"),
        (
            "H<sub>2</sub>O, CO<sub>2</sub>, SO<sub>4</sub><sup>2\u2212</sup>, NO<sub>x</sub>",
            "H2O, CO2, SO42\u2212, NOx",
        ),
        ("<sup>2</sup> a note, 10 <sup>6</sup>, <sub>all of it is small</sub>", "2 a note, 10 6, all of it is small"),
    ],
)
def test_ordinals_marks_and_substances_stay_as_they_are(page: str, text: str) -> None:
    assert written(f"<p>{page}</p>") == text


def test_exponents_are_written_in_headings_items_and_cells() -> None:
    page = "<h2>10<sup>6</sup></h2><ul><li>10<sup>7</sup></ul><table><tr><td>a<td>10<sup>8</sup></table>"
    assert written(page) == "## 10^6\n\n- 10^7\n\na | 10^8"


@pytest.mark.parametrize(
    "formula",
    [
        "<math>" + MATHML.format(TEX.format(" x^2 ")) + "</math>",
        '<math alttext="x^2">' + MATHML.format("") + "</math>",
        KATEX,
        WIKIPEDIA.replace("x^{2}", "x^2"),
        '<img class="tex" alt="x^2" src="1.png">',
        '<img class="latex" src="https://s0.wp.com/latex.php?latex=x" alt="x^2" title="x^2">',
        '<script type="math/tex">x^2</script>',
        "<script type='math/tex' id='f1'>% <![CDATA[\nx^2 %]]></script>",
    ],
)
def test_a_formula_is_its_tex_once_and_its_sentence_is_whole(formula: str) -> None:
    assert written(f"<p>Let {formula}, <b>a</b> square, be {formula}</p><p>Then.</p>") == (
        "Let $x^2$, a square, be $x^2$\n\nThen."
    )
    assert written(f"<p>One<br>{formula} two</p>") == "One\n$x^2$ two"
    assert written(f"<ul><li>{formula} is one<li>two</ul>") == "- $x^2$ is one\n- two"


@pytest.mark.parametrize(
    "formula",
    [
        '<math display="block">' + MATHML.format(TEX.format("x^2")) + "</math>",
        '<span class="katex-display">' + KATEX.replace("<math ", '<math display="block" ') + "</span>",
        '<dl><dd><img class="mwe-math-fallback-image-display" alt="{\\displaystyle x^2}"></dd></dl>',
        '<script type="math/tex; mode=display">x^2</script>',
    ],
)
def test_a_formula_on_a_line_of_its_own_goes_with_the_text_around_it(formula: str) -> None:
    assert written(f"<div>Let us see<p>{formula}</p>and so on</div>") == "Let us see\n\n$$x^2$$\n\nand so on"


def test_a_formula_beside_text_that_is_left_out_is_left_out() -> None:
    formula = '<p><math display="block" alttext="x^2"></math></p>'
    assert written(f"<p>Buy now</p>{formula}<p>Text</p>{formula}<p>More</p>", "Buy") == "Text\n\n$$x^2$$\n\nMore"
    assert written(f"<p>Buy {WIKIPEDIA} now</p><p>Text</p>", "Buy", "now") == "Text"
    assert written(f"<p>Text that is {WIKIPEDIA} so</p><p>Text</p>", "so") == "Text that is $x^{2}$ so\n\nText"


def test_what_has_no_tex_stays_as_it_is() -> None:
    assert written("<p>a <math><mi>x</mi></math> b</p>") == "a\n\nb"
    assert written('<p>a <math alttext="x squared"><mi>x</mi></math> b</p>') == "a\n\nb"
    assert written('<p>a <img alt="x^2"> <img class="text" alt="x^2"> b</p>') == "a b"
    assert written('<p>a <script type="text/x">b</script> <script>c</script>d</p>') == "a d"


def test_formulas_are_escaped_as_text_is() -> None:
    script = '<script type="math/tex">a<b & c</script>'
    assert written(f"<p>{script}</p>") == "$a<b & c$"
    assert written('<p>Let <math alttext="a &lt; b\\quad &amp;amp; c"></math></p>') == "Let $a < b\\quad &amp; c$"


@pytest.mark.parametrize(
    ("stated", "tex"),
    [
        ("{\\displaystyle x_{1}}", "$x_{1}$"),
        ("{\\displaystyle \\left\\{x\\right.}", "$\\left\\{x\\right.$"),
        ("{\\textstyle a}+{b}", "${\\textstyle a}+{b}$"),
        (" $x\n y$ ", "$x y$"),
        (" ", ""),
    ],
)
def test_what_wraps_a_whole_formula_is_none_of_it(stated: str, tex: str) -> None:
    assert notation.formula(stated) == tex


def test_pages_that_are_looked_at_together_keep_their_own_formulas() -> None:
    pages = [f"<p>{word} is {formula} " + f"{word} of many. " * 30 for word in "abc" for formula in (KATEX, "x")]
    alone = [html.content(page, 1000, 100) for page in pages]
    assert html.contents([html.Page(page, "", "") for page in pages], 1000, 100) == alone
    texts = [one.text for one in alone if isinstance(one, html.Content)]
    assert [text.split(" of")[0] for text in texts] == [
        f"{word} is {formula} {word}" for word in "abc" for formula in ("$x^2$", "x")
    ]


def test_hostile_formulas_are_bounded() -> None:
    long = "x" * (notation.LONGEST + 1)
    assert written(f'<p>a <img class="tex" alt="{long}"> b</p>') == "a b"
    assert written(f'<p>a <script type="math/tex">{long}</script> b</p>') == "a b"
    start = time.process_time()
    assert written("<p>10" + "<sup>" * 20_000 + "6") == "10^6"
    assert written("<p>" + "x<sup>" * 20_000).startswith("x")
    assert written("<p>" + "10<sup>6</sup>" * 20_000).startswith("10^610^6")
    assert written('<p>a <script type="math/tex">' + " " * 1_000_000 + "%]]></script> b</p>") == "a b"
    assert "$x$" in written("<p>a" + '<math alttext="x">' * 20_000)
    assert "$x$" in written("<p>a" + '<span class="katex">' * 10_000 + '<math alttext="x"></math>' * 10_000 + "b")
    assert "$x$" in written("<p>a" + '<math alttext="x"></math>' * 20_000)
    around = f'<div title="{"x" * 2_000_000}">'  # is not read for each of them
    assert "$x$" in written(around + 'a <math alttext="x"></math> b ' * 20_000)
    assert time.process_time() - start < 20

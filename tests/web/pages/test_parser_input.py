import pytest

from stages.web.pages.parser_input import readied


@pytest.mark.parametrize(
    ("page", "rest"),
    [
        ("a<script>b</script >c<STYLE x>d</Style>e", "ace"),
        ("a<script><!-- b</script>c-->d", "ac-->d"),  # what begins first counts
        ("a<!-- <script> -->b</script>c", "ab</script>c"),
        ("a<!-->b-->c", "ab-->c"),
        ("a<script>b</scripts></style></script", "a"),
        ("a<style>b<script>c</script>d", "a<style>bd"),  # the first has no end
        ("<scripted>é</scripted><s>a</s>", "<scripted>é</scripted><s>a</s>"),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_scripts_styles_and_comments_are_left_out(page: str, rest: str) -> None:
    assert readied(page, 100) == (rest, "")


@pytest.mark.parametrize("value", ["=1", "", '=">"', "='>'", '= ">"', "=x\" b='>'", "=\">'\" c='>\"'"])
def test_attributes_are_counted_behind_brackets_in_values(value: str) -> None:
    tag = "<p " + " ".join(f"a{number}{value}" for number in range(1000)) + ">x"
    assert readied(tag, 10_000)[1] == "too_many_attributes"
    assert readied(f"<p>{tag[3:]}", 10_000)[1] == ""  # the same, and a text


def test_formatting_that_is_closed_or_the_same_costs_nothing() -> None:
    left_open = "".join(f"<b id={number}>" for number in range(400))
    paragraphs = "<p>x" * 5000
    assert readied(left_open + paragraphs, 100_000)[1] == "too_many_nodes"
    assert readied(left_open.replace(">", "></b>") + paragraphs, 100_000)[1] == ""
    assert readied("<b>" * 400 + paragraphs, 100_000)[1] == ""

"""What differs between two texts is marked, what agrees is folded."""

from stages.release.side_by_side import Row, compare

LINES = [f"Line {number} says what all copies say." for number in range(20)]


def marked(row: Row) -> tuple[list[str], list[str]]:
    return [piece for piece, differs in row.kept if differs], [piece for piece, differs in row.copy if differs]


def test_changed_words_are_marked_between_lines_that_agree() -> None:
    other = [*LINES]
    other[10] = "Line 10 says what no copy says."
    found = compare("\n".join(LINES), "\n\n".join(other), rows=10, characters=200)

    assert [row.same for row in found.rows] == [9, 0, 0, 0, 8]
    assert marked(found.rows[2]) == (["all", "copies", "say"], ["no", "copy", "says"])
    assert "".join(piece for piece, _ in found.rows[2].copy) == other[10]


def test_a_line_that_only_one_text_has_stands_alone() -> None:
    found = compare("\n".join(LINES), "\n".join([*LINES, "One more."]), rows=10, characters=200)

    assert found.rows[-1] == Row([], [("One more.", True)])


def test_rows_beyond_those_asked_for_are_counted() -> None:
    found = compare("\n".join(LINES), "\n".join(f"{number} x" for number in range(30)), rows=4, characters=40)

    assert (len(found.rows), found.more) == (4, 26)
    assert max(len(piece) for row in found.rows for piece, _ in row.kept) <= 40

"""The thresholds of datatrove's filters, read off the filters: those that the papers give, for tests and benchmarks."""

from types import SimpleNamespace

from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from stages.web.rules import c4, quality, repetition

_REPETITION, _GOPHER, _FINEWEB = GopherRepetitionFilter(), GopherQualityFilter(), FineWebQualityFilter()
_C4 = C4QualityFilter(filter_no_terminal_punct=False)  # as in the recipe of FineWeb

LIMITS = SimpleNamespace(
    repetition=repetition.Repetition(
        lines=_REPETITION.dup_line_frac,
        line_characters=_REPETITION.dup_line_char_frac,
        paragraphs=_REPETITION.dup_para_frac,
        paragraph_characters=_REPETITION.dup_para_char_frac,
        top_ngrams=dict(_REPETITION.top_n_grams),
        repeated_ngrams=dict(_REPETITION.dup_n_grams),
    ),
    gopher=quality.Gopher(
        min_words=_GOPHER.min_doc_words,
        max_words=_GOPHER.max_doc_words,
        min_word_length=_GOPHER.min_avg_word_length,
        max_word_length=_GOPHER.max_avg_word_length,
        max_symbols=_GOPHER.max_symbol_word_ratio,
        max_bullets=_GOPHER.max_bullet_lines_ratio,
        max_ellipses=_GOPHER.max_ellipsis_lines_ratio,
        min_alphabetic=_GOPHER.max_non_alpha_words_ratio,  # its name notwithstanding
        min_stop_words=_GOPHER.min_stop_words,
    ),
    c4=c4.C4(
        min_sentences=_C4.min_num_sentences, lorem_ipsum=_C4.filter_lorem_ipsum, curly_bracket=_C4.filter_curly_bracket
    ),
    fineweb=quality.FineWeb(
        min_punctuation=_FINEWEB.line_punct_thr,
        max_short_lines=_FINEWEB.short_line_threshold,
        max_repeated_characters=_FINEWEB.char_duplicates_ratio,
        max_newlines=_FINEWEB.new_line_ratio,
    ),
)
"""What the parameters of the stage are to the rules."""

CLEANING = c4.Cleaning(
    min_words=_C4.min_words_per_line,
    keep_structure=False,
    max_word_length=_C4.max_word_length,
    end_punctuation=_C4.filter_no_terminal_punct,
    javascript=_C4.filter_javascript,
    policy=_C4.filter_policy,
    citations=_C4.remove_citations,
)
"""Its C4 filter takes out every line that it does not judge."""

SHORT_LINE: int = _FINEWEB.short_line_length

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.io.plain_words import plain_description, plain_file_name


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Thorax 1.0 B30f", "Thorax 1.0 B30f"),
        ("CT Abdomen venös 5mm", "CT Abdomen venös 5mm"),
        ("Chest Doe^Jane 1.25 mm", "Chest … 1.25 mm"),
        ("DOE JANE *1970-02-13", "…"),
        ("lung/soft (portal) 120kV", "lung soft portal 120kV"),
        ("12.02.1970 MRN77123 head", "… head"),
        ("", ""),
    ],
)
def test_of_a_description_the_words_of_a_ct_are_kept(text, kept):
    assert plain_description(text) == ("" if kept == "…" else kept)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("DL_info.csv", "DL_info.csv"),
        ("Doe_mask.nii.gz", "…_mask.nii.gz"),
        ("000001_01_02_039-099.nii.gz", "000001_01_02_039-099.nii.gz"),
        ("mask.nii.Doe", "mask.…"),
        ("Doe.Jane.nii.gz", "….…"),
    ],
)
def test_of_the_name_of_a_file_the_words_of_a_ct_and_its_kind_are_kept(name, kept):
    assert plain_file_name(name) == kept


@given(st.text(max_size=40))
def test_a_name_among_other_words_is_never_kept(text):
    assert "Quibblewick" not in plain_description(f"{text} Quibblewick")
    assert "quibblewick" not in plain_file_name(f"{text}Quibblewick.nii").casefold()
    assert plain_description(plain_description(text)) == plain_description(text)

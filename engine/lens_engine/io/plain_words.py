"""What of a free text of the source is kept: the words and numbers that describe a CT series, and no others.

A series description or a file name is typed by people, and names of patients stand in them. Nothing tells a name from
another word; so only words are kept that are known to be none, and "…" stands for the rest.
"""

import re

from lens_engine.io.series_source import parse_series_name

LEFT_OUT = "…"

_WORDS_OF_CT = """
ct cta ctpa scan series volume image images slice slices axial ax cor coronal sag sagittal tra transversal transverse
head neck brain skull face sinus orbit spine cervical thoracic lumbar chest thorax lung lungs mediastinum heart
cardiac coronary aorta abdomen abdominal abd liver kidney kidneys renal spleen pancreas adrenal bladder colon bowel
pelvis pelvic bone bones hip knee shoulder extremity body trunk wholebody whole tap cap
schädel hals kopf wirbelsäule lunge herz leber niere becken knochen bauch ganzkörper
tête cou poumon foie rein bassin os abdo
soft tissue mediastinal parenchyma sharp smooth standard std detail edge medium hard weichteil weich
kernel recon reconstruction thin thick fine mpr mip minip iterative fbp asir safire admire idose veo dlir aidr
contrast native nativ plain non noncontrast unenhanced enhanced post pre with without mit ohne km kontrastmittel
arterial venous portal portalvenous delayed late early phase phases arteriell venös portalvenös spät sans avec iv po
low dose lowdose ldct screening follow followup up baseline study exam supine prone inspiration expiration insp exp
breath hold gated ungated helical spiral sequence seq dual energy mono kev kvp kv mm ma mas hu fov
mask label labels segmentation seg lesion lesions tumor tumour nodule nodules node nodes gtv rtstruct contours
annotation annotations dl info manual test set train val truth phantom sub and und et the of a in on to no
"""
_WORDS = frozenset(_WORDS_OF_CT.split())
_SUFFIXES = {"", "nii", "nii.gz", "mhd", "mha", "nrrd", "nhdr", "dcm", "csv", "json", "pkl", "pickle", "png"}
_NUMBER = re.compile(r"\d{1,3}(?:[.,]\d{1,3})?(?:mm|kv|kvp|kev|ma|mas|sec|s|hu|%)?", re.IGNORECASE)
_KERNEL = re.compile(r"[a-z]{1,2}\d{1,3}[a-z]{0,2}", re.IGNORECASE)
_BETWEEN = re.compile(r"([\s_/()\[\]+,;:&]+)")


def plain_description(text: str) -> str:
    """Return a description with "…" for every run of words that might be a name; empty if nothing else is left."""
    kept: list[str] = []
    for word in _BETWEEN.sub(" ", text).split():
        if _is_plain(word):
            kept.append(word)
        elif kept[-1:] != [LEFT_OUT]:
            kept.append(LEFT_OUT)
    return " ".join(kept) if any(word.strip(LEFT_OUT) for word in kept) else ""


def plain_file_name(name: str) -> str:
    """Return the name of a file with "…" for every run of words that might be a name of a patient."""
    stem, dot, suffixes = name.partition(".")
    if parse_series_name(stem) is not None:
        return name
    kept = "".join(part if _BETWEEN.fullmatch(part) or _is_plain(part) else LEFT_OUT for part in _BETWEEN.split(stem))
    return f"{kept}{dot}{suffixes if suffixes.lower() in _SUFFIXES else LEFT_OUT}"


def _is_plain(word: str) -> bool:
    parts = word.split("-")
    if len(parts) > 1 and all(not part or part[0].isdigit() for part in parts):
        return False  # a date
    return all(_is_plain_part(part) for part in parts)


def _is_plain_part(word: str) -> bool:
    is_known = word.lower().strip(".") in _WORDS
    return is_known or _NUMBER.fullmatch(word) is not None or _KERNEL.fullmatch(word) is not None

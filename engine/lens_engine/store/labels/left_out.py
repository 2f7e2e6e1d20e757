"""What is said of complete series that can be neither measured on nor exported, and what would change that."""

from collections.abc import Sequence

HOW_TO_SETTLE = "Settle the places where they differ: lens review --adjudicate"
"""What makes a series with two readings that differ complete."""
HOW_TO_COMPLETE = "Import its lesions as a mask or RTSTRUCT, or accept what continues them in the review"
"""What makes lesions that are annotated on one slice known in 3D."""
MOST_NAMES = 5
"""Series that one message names."""


def why_left_out(names: Sequence[str], disputed: Sequence[str] = ()) -> str:
    """Return what is said of complete series that are neither measured on nor exported; nothing where there is none.

    Parameters
    ----------
    names
        Of those with a lesion that is annotated on one slice only.
    disputed
        Names of those whose two readings differ.
    """
    sentences = []
    if names:
        sentences.append(
            f"{_left_out(names)}, marked complete with a lesion that is annotated on one slice only. {HOW_TO_COMPLETE}."
        )
    if disputed:
        sentences.append(f"{_left_out(disputed)}, which two readers have read and differ about. {HOW_TO_SETTLE}.")
    return " ".join(sentences)


def _left_out(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    return f"Left out {'is' if len(names) == 1 else 'are'} {shown}"

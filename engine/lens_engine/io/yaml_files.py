"""YAML as people write settings and recipes: plain values, each where it stands.

References (`&name`, `*name`) are refused: a few lines of them, each naming the line before it several times, stand for
more values than any machine holds.
"""

from typing import Any

import yaml

MAX_CHARACTERS = 1 << 20
"""Of one file; the largest recipe has some thousand."""


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "references (*name) are not read", None)
        return super().compose_node(parent, index)


def load_yaml(text: str) -> Any:
    """Return the values of a YAML file.

    Raises
    ------
    yaml.YAMLError
        If it is none, is longer than such files are, nests too deeply, or refers to what stands elsewhere in it.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text)} characters, at most {MAX_CHARACTERS} are read")
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError as error:
        raise yaml.YAMLError("its values nest too deeply") from error

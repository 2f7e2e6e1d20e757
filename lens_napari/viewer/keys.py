"""Key bindings: each on the viewer and on every layer of ours, because the active layer's own keys come first."""

from collections.abc import Callable, Mapping
from typing import Any

Action = Callable[[], None]


class KeyBindings:
    """Binds the same actions on a viewer and on layers as they appear, and gives all keys back at the end.

    Parameters
    ----------
    actions
        What each key does, by the key in napari's spelling.
    """

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = dict(actions)
        self._before: list[tuple[Any, dict[Any, Any]]] = []

    def bind(self, target: Any) -> None:
        """Bind every key on a viewer or a layer instance; a key of napari's own is taken over there."""
        self._before.append((target, dict(target.keymap)))
        for key, action in self._actions.items():
            target.bind_key(key, _called_with_target(action), overwrite=True)

    def release(self) -> None:
        """Let every key do again what it did before."""
        for target, keymap in self._before:
            target.keymap = keymap
        self._before.clear()


def _called_with_target(action: Action) -> Callable[[Any], None]:
    def act(_target: Any) -> None:
        action()

    return act

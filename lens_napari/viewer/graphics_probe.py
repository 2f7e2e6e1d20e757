"""Prints as JSON which OpenGL driver Qt would draw with; its own process, because a broken driver can crash."""

import json
import sys

from qtpy import API_NAME, QT_VERSION
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
from vispy.gloo import gl


def main() -> int:
    """Print `{"qt": …, "gl": …}`, or `{"problem": …}` with exit code 1."""
    application = QGuiApplication(sys.argv[:1])
    surface = QOffscreenSurface()
    surface.create()
    context = QOpenGLContext()
    if not context.create() or not context.makeCurrent(surface):
        sys.stdout.write(json.dumps({"problem": "no OpenGL context could be made"}))
        return 1
    renderer = gl.glGetParameter(gl.GL_RENDERER)
    version = gl.glGetParameter(gl.GL_VERSION)
    sys.stdout.write(
        json.dumps(
            {"qt": f"{API_NAME} {QT_VERSION}", "gl": f"{renderer}, {version}", "platform": application.platformName()}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

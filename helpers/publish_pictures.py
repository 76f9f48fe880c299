"""The pictures of an executed notebook as files beside it, which the notebook and its page share."""

import base64
import re

from nbformat import NotebookNode

EMBEDDED = re.compile(r'src="data:image/(\w+);base64,([A-Za-z0-9+/=]+)"')
"""As `helpers.figures.show` embeds a picture. Text of users cannot look like it, as its quotes are escaped."""


def moved_out(notebook: NotebookNode, *, stem: str) -> dict[str, bytes]:
    """Replace the pictures embedded in the outputs of a notebook by relative links into the folder `stem`.

    Args:
        notebook: executed; its outputs are changed in place.
        stem: name of the report, which its folder has too; letters, digits and underscores.

    Returns:
        The content of each file by its name in that folder, in the order of the page.
    """
    found: dict[str, bytes] = {}

    def linked(match: re.Match[str]) -> str:
        name = f"figure-{len(found) + 1:02d}.{match[1]}"
        found[name] = base64.b64decode(match[2])
        return f'src="{stem}/{name}"'

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = EMBEDDED.sub(linked, output.data["text/html"])
    return found

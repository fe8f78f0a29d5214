"""Checks and small changes while mkdocs builds the site; with `strict`, each warning here fails the build.

- Every public name of a room appears on its API page.
- Pages outside docs/ (deploy/, CONTRIBUTING.md) are part of the site, and links to them work there and on GitHub.
- No page loads anything from another host.
"""

import ast
import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.lookalike")

ROOT = Path(__file__).parent.parent
# Page in the repository: page in the site. Not README: a page of that name would be the index of its section.
PAGES_OUTSIDE_DOCS = {"CONTRIBUTING.md": "CONTRIBUTING.md", "deploy/README.md": "deploy/running.md"}
FILES_OUTSIDE_DOCS = ("deploy/Caddyfile", "deploy/Dockerfile", "deploy/lookalike.service", "deploy/nginx.conf")
_LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"?(?:https?:)?//[^\s>]*|<link[^>]*stylesheet[^>]*href=\"?https?://"
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files outside docs/."""
    for name, target in (PAGES_OUTSIDE_DOCS | dict(zip(FILES_OUTSIDE_DOCS, FILES_OUTSIDE_DOCS, strict=True))).items():
        files.append(File.generated(config, target, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Change links for the site, where docs/ is the root."""
    name = page.file.src_uri
    if name in PAGES_OUTSIDE_DOCS.values():
        return re.sub(r"(\]\((?:\.\./)*)docs/", r"\1", markdown)
    out_of_docs = "../" * (name.count("/") + 1)
    inside = "../" * name.count("/")
    for outside, target in PAGES_OUTSIDE_DOCS.items():
        markdown = markdown.replace(f"]({out_of_docs}{outside}", f"]({inside}{target}")
    return re.sub(rf"\]\({re.escape(out_of_docs)}(?!\.\./)", f"]({inside}", markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Warn about names that are missing on an API page."""
    folder, _, room = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder == "api" and room != "index":
        module = "lookalike" if room == "lookalike" else f"lookalike.{room}"
        for name in public_names(module):
            # A package among the names has a page of its own.
            is_package = room == "lookalike" and (ROOT / "docs" / "api" / f"{name}.md").exists()
            shown = f'href="../{name}/"' if is_package else f'id="{module}.{name}"'
            if shown not in html:
                log.warning("%s: %s.%s is missing; has it a docstring?", page.file.src_uri, module, name)
    return html


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Warn about what a page would load from another host."""
    for loaded in _LOADED.findall(output):
        log.warning("%s loads from another host: %s", page.file.src_uri, loaded)
    return output


def public_names(module: str) -> list[str]:
    """Return the `__all__` of a module, or all its own public names if it has none, without importing it."""
    path = ROOT / "src" / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(source.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return [name for node in body for name in _defined(node) if not name.startswith("_")]


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
    return [target.id for target in targets if isinstance(target, ast.Name)]

"""Prints the title of a page, as a region sees it."""

import json
import sys
from html.parser import HTMLParser

# The host's side: made by componentize-py while it builds, from .blitz/sdk/wit.
# `componentize-py -d .blitz/sdk/wit/blitz-plugin-0.1.0 -w plugin bindings .blitz/bindings` shows it to an editor.
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import events, web

# A page whose title is not in so many bytes has none that anybody sees.
BYTES_MAX = 1024 * 1024


class Tool(exports.Tool):
    """The plugin: `blitz plugin build` looks for a class of this name."""

    def describe(self):
        # The manifest is packed into the file from plugin.toml, and is read there.
        return ""

    def run(self, call):
        """One job. The number is the exit status, 0 to 255."""
        try:
            answer, page = get(call.args[0])
        except Err as error:
            print(f"{{name}}: {error.value.text}", file=sys.stderr)
            return 1
        title = title_of(page)
        # For people: standard output.
        print(title or "(no title)")
        # For programs and tables: a record, as JSON.
        record = {"title": title, "status": answer.status, "first_byte_us": answer.phases.first_byte_us}
        events.emit("page", json.dumps(record))
        return 0 if title else 1


def get(url):
    """One HTTP exchange: the answer, and the start of its body."""
    request = web.Request(
        method="GET", url=url, headers=[], body=None,
        version=web.VersionChoice.ANY, verify=True, roots=None, family=web.Family.ANY,
        connect_to=None, addresses=[], resolver=None, connect_timeout_ms=5000, timeout_ms=20000,
    )
    answer = web.exchange(request)
    page = bytearray()
    with answer.body as body:
        while len(page) < BYTES_MAX and (piece := body.read(64 * 1024)):
            page += piece
    return answer, page.decode(errors="replace")


def title_of(page):
    """The text of the first <title>."""
    finder = TitleFinder()
    finder.feed(page)
    return " ".join("".join(finder.parts).split())


class TitleFinder(HTMLParser):
    def __init__(self):
        super().__init__()
        self.depth, self.is_done, self.parts = 0, False, []

    def handle_starttag(self, tag, attributes):
        self.depth += tag == "title" and not self.is_done

    def handle_endtag(self, tag):
        if tag == "title" and self.depth:
            self.depth, self.is_done = 0, True

    def handle_data(self, data):
        if self.depth:
            self.parts.append(data)

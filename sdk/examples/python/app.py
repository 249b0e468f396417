"""Fetches JSON and prints what stands at a place in it: a health check that looks inside of the answer."""

import argparse
import json
import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import events, web

# More than a health check answers with, and little beside a plugin's memory.
BYTES_MAX = 8 * 1024 * 1024


PARSER = argparse.ArgumentParser(prog="jsonget", add_help=False)
PARSER.add_argument("-e", "--expect")
PARSER.add_argument("URL")
PARSER.add_argument("POINTER", nargs="?", default="")
# Only modules that were imported while the plugin was built are in it, and argparse imports some when it first prints.
PARSER.format_usage()


class Problem(Exception):
    """Ends the plugin with a line on stderr."""


class Tool(exports.Tool):
    def describe(self):
        # The manifest is packed into the file from plugin.toml, and is read there.
        return ""

    def run(self, call):
        try:
            return jsonget(call.args)
        except Problem as problem:
            print(f"jsonget: {problem}", file=sys.stderr)
            return 1
        except SystemExit as end:
            # From argparse, which has said why.
            return end.code


def jsonget(words):
    args = PARSER.parse_args(words)

    answer, body, total_us = get(args.URL)
    record = {"status": answer.status, "total_us": total_us}
    if answer.status >= 400:
        events.emit("json", json.dumps(record))
        raise Problem(f"{args.URL} answers with {answer.status}")
    try:
        value = at(json.loads(body), args.POINTER)
    except ValueError as error:
        raise Problem(f"{args.URL} is not JSON: {error}") from error
    events.emit("json", json.dumps(record | {"value": value}))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    print(text)
    if args.expect is not None and text != args.expect:
        raise Problem(f"{args.POINTER or 'it'} is {text}, and {args.expect} was expected")
    return 0


def get(url):
    """One HTTP exchange with its whole body."""
    request = web.Request(
        method="GET", url=url, headers=[("accept", b"application/json")], body=None,
        version=web.VersionChoice.ANY, verify=True, roots=None, family=web.Family.ANY,
        connect_to=None, addresses=[], resolver=None, connect_timeout_ms=5000, timeout_ms=20000,
    )
    try:
        answer = web.exchange(request)
        whole = bytearray()
        with answer.body as body:
            while piece := body.read(256 * 1024):
                whole += piece
                if len(whole) > BYTES_MAX:
                    raise Problem(f"{url} has more than {BYTES_MAX} bytes")
            return answer, bytes(whole), body.total_us()
    except Err as error:
        raise Problem(error.value.text) from error


def at(value, pointer):
    """What a JSON pointer leads to (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise Problem(f"there is nothing at {pointer}: no {name!r}") from None
    return value

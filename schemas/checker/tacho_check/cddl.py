"""Holds values to record.cddl and proof.cddl, by reading those files: the format is not written down a second time here.

Knows as much of CDDL (RFC 8610) as the two files use: maps by integer key, groups with choices, enumerations `&( … )`, arrays,
ranges, literals, and the controls .size, .regexp, .ge, .le and .cbor.
"""

import re
from pathlib import Path

from . import canon

TOKEN = re.compile(
    r"""\s*(?:;[^\n]*\n?\s*)*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<name>[a-z][a-z0-9_-]*)|(?P<number>-?[0-9]+)
    |(?P<control>\.[a-z]+)|(?P<mark>=>|//|\.\.|[][(){}&?*+/,:=]))""",
    re.VERBOSE,
)
SCHEMAS = Path(__file__).resolve().parents[2]


class Mismatch(Exception):
    """A value that the rule does not allow."""


def _tokens(text):
    at, tokens, text = 0, [], text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            if re.match(r"(\s*;[^\n]*\n?)*\s*$", text[at:]):
                break
            raise ValueError(f"CDDL that is not read here: {text[at : at + 40]!r}")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        at = found.end()
    return tokens + [("end", "")]


class Schema:
    """The rules of some CDDL files. `check(name, value)` raises Mismatch."""

    def __init__(self, *names):
        self.rules = {}
        text = "".join((SCHEMAS / name).read_text("utf-8") + "\n" for name in names)
        self.tokens, self.at = _tokens(text), 0
        while self.tokens[self.at][0] != "end":
            name = self._take("name")
            self._take("mark", "=")
            self.rules[name] = self._choice()
        del self.tokens

    # Reading. Each `_…` gives a node: a tuple that starts with its sort.

    def _peek(self, ahead=0):
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def _take(self, sort, value=None):
        found = self._peek()
        if found[0] != sort or value not in (None, found[1]):
            raise ValueError(f"CDDL: {found[1]!r} where {value or sort} belongs")
        self.at += 1
        return found[1]

    def _maybe(self, value):
        if self._peek() == ("mark", value):
            self.at += 1
            return True
        return False

    def _choice(self):
        options = [self._controlled()]
        while self._maybe("/"):
            options.append(self._controlled())
        return options[0] if len(options) == 1 else ("choice", options)

    def _controlled(self):
        node = self._type()
        if self._peek()[0] == "control":
            control = self._take("control")
            node = ("control", node, control, self._type())
        return node

    def _type(self):
        sort, value = self._peek()
        self.at += 1
        if sort == "number":
            if self._maybe(".."):
                return ("range", int(value), int(self._take("number")))
            return ("is", int(value))
        if sort == "text":
            return ("is", value[1:-1])
        if sort == "name":
            return {"true": ("is", True), "false": ("is", False)}.get(value, ("name", value))
        if value == "&":
            self._take("mark", "(")
            values = []
            while not self._maybe(")"):
                self._take("name")
                self._take("mark", ":")
                values.append(int(self._take("number")))
                self._maybe(",")
            return ("enum", frozenset(values))
        if value == "{":
            return ("map", self._group("}"))
        if value == "[":
            return self._array()
        if value == "(":
            group = self._group(")")
            plain = group[0][0][1] if len(group) == 1 and len(group[0]) == 1 and group[0][0][0] == "plain" else None
            return plain or ("group", group)
        raise ValueError(f"CDDL: {value!r} is no type")

    def _group(self, end):
        """Alternatives of entries: (field, optional, key, type), (many, key type, type) or (plain, type)."""
        alternatives, entries = [], []
        alternatives.append(entries)
        while not self._maybe(end):
            if self._maybe("//"):
                entries = []
                alternatives.append(entries)
                continue
            optional, many = self._maybe("?"), self._maybe("+")
            node = self._choice()
            if self._maybe("=>"):
                kind = self._choice()
                if many:
                    entries.append(("many", node, kind))
                else:
                    entries.append(("field", optional, node[1], kind))
            else:
                entries.append(("plain", node))
            self._maybe(",")
        return alternatives

    def _array(self):
        if self._peek()[0] == "number" and self._peek(1) == ("mark", "*"):
            low = int(self._take("number"))
            self._take("mark", "*")
            high = int(self._take("number"))
            node = self._choice()
            self._take("mark", "]")
            return ("list", low, high, node)
        items = [self._choice()]
        while self._maybe(","):
            items.append(self._choice())
        self._take("mark", "]")
        return ("tuple", items)

    # Checking.

    def check(self, name, value):
        self._check(("name", name), value)

    def fits(self, name, value):
        try:
            self.check(name, value)
        except Mismatch:
            return False
        return True

    def _check(self, node, value):
        getattr(self, "_is_" + node[0])(node, value)

    def _is_name(self, node, value):
        name = node[1]
        if name in self.rules:
            return self._check(self.rules[name], value)
        python = {"uint": int, "int": int, "bstr": bytes, "tstr": str, "bool": bool}[name]
        if type(value) is not python or name == "uint" and value < 0:
            raise Mismatch(f"{_say(value)} where {name} belongs")

    def _is_is(self, node, value):
        if type(value) is not type(node[1]) or value != node[1]:
            raise Mismatch(f"{_say(value)} where {node[1]} belongs")

    def _is_enum(self, node, value):
        if type(value) is not int or value not in node[1]:
            raise Mismatch(f"{_say(value)} is a value that version 1 does not know")

    def _is_range(self, node, value):
        if type(value) is not int or not node[1] <= value <= node[2]:
            raise Mismatch(f"{_say(value)} is not from {node[1]} to {node[2]}")

    def _is_choice(self, node, value):
        for option in node[1]:
            try:
                return self._check(option, value)
            except Mismatch as error:
                last = error
        raise last

    def _is_control(self, node, value):
        _, kind, control, argument = node
        self._check(kind, value)
        if control == ".regexp":
            good = re.fullmatch(argument[1], value)
        elif control == ".ge":
            good = value >= argument[1]
        elif control == ".le":
            good = value <= argument[1]
        elif control == ".cbor":
            try:
                return self._check(argument, canon.decode(value, canon.ROW_BYTES))
            except canon.NotCanonical as error:
                raise Mismatch(str(error)) from error
        elif type(value) is int:
            good = value < 1 << 8 * argument[1]
        else:
            low, high = argument[1:] if argument[0] == "range" else (argument[1], argument[1])
            good = low <= len(value) <= high
        if not good:
            raise Mismatch(f"{_say(value)} breaks {control}")

    def _is_list(self, node, value):
        if type(value) is not list or not node[1] <= len(value) <= node[2]:
            raise Mismatch(f"not a list of {node[1]} to {node[2]}")
        for item in value:
            self._check(node[3], item)

    def _is_tuple(self, node, value):
        if type(value) is not list or len(value) != len(node[1]):
            raise Mismatch(f"not a list of {len(node[1])}")
        for kind, item in zip(node[1], value):
            self._check(kind, item)

    def _is_map(self, node, value):
        if type(value) is not dict:
            raise Mismatch("not a map")
        if node[1][0][0][0] != "many":
            value = {key: item for key, item in value.items() if key >= 0}  # below 0: extensions, passed over
        if not value:
            raise Mismatch("a structure without a field")
        rest = self._group_rest(node[1], value)
        if rest:
            raise Mismatch(f"key {min(rest)} is not known here")

    def _group_rest(self, alternatives, value):
        """Checks the entries that a group speaks of, and gives back the other ones."""
        for entries in alternatives[:-1]:
            _, _, key, kind = entries[0]
            if kind[0] != "is" or value.get(key) == kind[1]:  # a literal that does not fit decides at once
                try:
                    return self._entries(entries, value)
                except Mismatch as error:
                    if kind[0] == "is":
                        raise error
        return self._entries(alternatives[-1], value)

    def _entries(self, entries, value):
        rest = dict(value)
        for entry in entries:
            if entry[0] == "field":
                _, optional, key, kind = entry
                if key in rest:
                    self._check(kind, rest.pop(key))
                elif not optional:
                    raise Mismatch(f"key {key} is missing")
            elif entry[0] == "many":
                for key in list(rest):
                    self._check(entry[1], key)
                    self._check(entry[2], rest.pop(key))
            else:
                kind = entry[1]
                while kind[0] == "name":
                    kind = self.rules[kind[1]]
                rest = self._group_rest(kind[1], rest)
        return rest


def _say(value):
    if isinstance(value, (int, bool)):
        return str(value)
    return f"a {type(value).__name__} of {len(value)}"

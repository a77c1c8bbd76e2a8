"""XML to and from request and result values. One closure per shape; documents with a DTD or another encoding are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import RLock
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLParser

from botocore.model import ListShape, MapShape, Shape, StructureShape

from kenja.wire import scalars
from kenja.wire.errors import Malformed
from kenja.wire.shapes import cache_key, fillers, later, outside_answer, wire_name

MAX_DEPTH = 200  # element levels; the deepest modelled document has about ten

Read = Callable[[Element], Any]
ReadChild = Callable[[Element, dict[str, Any]], None]
Write = Callable[[Any, list[str]], None]
Text = Callable[[Any], str]
Member = tuple[
    str, Any, Text | None, str, str, Write
]  # name, neutral value or None; of a scalar text and tags; how it is written
Attribute = tuple[str, str, Text]  # its name, its name on the wire, how it is written

_COMPOUND = ("structure", "list", "map")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, production 2
_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f\u0085\u2028\ufffe\uffff]')
_has_special = _SPECIAL.search
_UNNAMED = re.compile("[\x00-\x08\x0b-\x1f\x7f\u0085\u2028\ufffe\uffff]")  # of those, what has no name below
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def parse(data: bytes) -> Element:
    """The root element; raises Malformed."""
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Malformed("The XML is not UTF-8.") from None
    # Without a document type there are no entities to expand; text is fed, so that no other encoding can hide one.
    if "<!DOCTYPE" in text or "\0" in text:
        raise Malformed("The XML has a document type declaration or a zero character; send it without.")
    parser = XMLParser()  # noqa: S314
    try:
        parser.feed(text)
        root = parser.close()
    except (ParseError, ValueError, LookupError) as problem:
        raise Malformed(f"The body is not well-formed XML: {problem}.") from None
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Malformed(f"The XML is nested more than {MAX_DEPTH} levels deep.")
        level = [child for element in level for child in element if len(child)]
    return root


def local(name: str) -> str:
    """A tag or attribute name without its namespace."""
    return name.rsplit("}", 1)[-1]


def escape(text: str) -> str:
    """Text for content or an attribute; characters that parsers would normalise are written as references."""
    if _has_special(text) is None:
        return text
    for character, name in _NAMED.items():
        text = text.replace(character, name)
    return _UNNAMED.sub(_reference, text)


def prose(text: str) -> str:
    """Text of an error, which quotes what a client sent: what XML 1.0 has no way to write is shown as U+FFFD."""
    return escape(_FORBIDDEN.sub("\ufffd", text))


class XmlCompiler:
    """Compiles shapes of one service model. Thread-safe. `name` says what a member is called on the wire."""

    def __init__(self, name: Callable[[Shape, str], str] = wire_name) -> None:
        self._name = name
        self._lock = RLock()
        self._readers: dict[tuple[Any, ...], Read] = {}
        self._writers: dict[tuple[Any, ...], Write] = {}

    def reader(self, shape: Shape) -> Read:
        """Element to value."""
        with self._lock:
            return self._read(shape)

    def writer(self, shape: Shape, tag: str, namespace: str | None = None) -> Write:
        """Value to text, appended to a list; `namespace` is given to roots whose shape has none of its own."""
        with self._lock:
            return self._write(shape, tag, namespace)

    def content_writer(self, shape: StructureShape) -> Write:
        """The members of a structure, without an element around them."""
        with self._lock:
            members, _ = self._members(shape)

        return lambda value, out: _write_members(members, value, out)

    # Reading

    def _read(self, shape: Shape) -> Read:
        key = cache_key(shape)
        if key in self._readers:
            return self._readers[key]
        self._readers[key] = later(self._readers, key)
        compilers = {"structure": self._read_structure, "list": self._read_list, "map": self._read_map}
        compiled: Read = compilers.get(shape.type_name, _scalar_reader)(shape)
        self._readers[key] = compiled
        return compiled

    def _read_structure(self, shape: StructureShape) -> Read:
        children: dict[str, ReadChild] = {}
        attributes: dict[str, tuple[str, Callable[[str], Any]]] = {}
        for name, member in shape.members.items():
            tag = self._name(member, name)
            if member.serialization.get("xmlAttribute"):
                attributes[tag.split(":")[-1]] = (name, scalars.reader(member))
            elif "location" not in member.serialization:
                children.update(self._read_member(name, tag, member))

        def read(element: Element) -> dict[str, Any]:
            result: dict[str, Any] = {}
            for child in _children_only(element):
                tag = local(child.tag)
                read_child = children.get(tag)
                if read_child is None:
                    continue
                try:
                    read_child(child, result)
                except Malformed as problem:
                    raise problem.under(tag) from None
            for attribute, text in element.attrib.items():
                found = attributes.get(local(attribute))
                if found is not None:
                    result[found[0]] = found[1](text)
            return result

        return read

    def _read_member(self, name: str, tag: str, member: Shape) -> dict[str, ReadChild]:
        if not member.serialization.get("flattened"):
            return {tag: _set(name, self._read(member))}
        if member.type_name == "map":
            return {tag: _enter(name, self._read_entry(member))}
        return dict.fromkeys((tag, self._name(member.member, tag)), _append(name, self._read(member.member)))

    def _read_list(self, shape: ListShape) -> Read:
        convert = self._read(shape.member)
        return lambda element: [convert(child) for child in _children_only(element)]

    def _read_map(self, shape: MapShape) -> Read:
        entry = self._read_entry(shape)
        return lambda element: dict(entry(child) for child in _children_only(element))

    def _read_entry(self, shape: MapShape) -> Callable[[Element], tuple[Any, Any]]:
        key_tag, value_tag = self._name(shape.key, "key"), self._name(shape.value, "value")
        read_key, read_value = self._read(shape.key), self._read(shape.value)

        def read(element: Element) -> tuple[Any, Any]:
            found = {local(child.tag): child for child in element}
            if key_tag not in found or value_tag not in found:
                raise Malformed(f"An entry of a map needs <{key_tag}> and <{value_tag}>.")
            return read_key(found[key_tag]), read_value(found[value_tag])

        return read

    # Writing

    def _write(self, shape: Shape, tag: str, namespace: str | None = None) -> Write:
        key = cache_key(shape, tag, namespace)
        if key in self._writers:
            return self._writers[key]
        self._writers[key] = later(self._writers, key)
        start = tag + _namespace(shape, namespace)
        compilers = {"structure": self._write_structure, "list": self._write_list, "map": self._write_map}
        compiled: Write = compilers.get(shape.type_name, _scalar_writer)(shape, tag, start)
        self._writers[key] = compiled
        return compiled

    def _members(self, shape: StructureShape) -> tuple[list[Member], list[Attribute]]:
        members: list[Member] = []
        attributes: list[Attribute] = []
        neutral = fillers(shape)
        for name, member in shape.members.items():
            wire = self._name(member, name)
            if outside_answer(member) or member.serialization.get("eventheader"):
                continue
            if member.serialization.get("xmlAttribute"):
                attributes.append((name, wire, scalars.writer(member, "iso8601")))
            else:
                text = None if member.type_name in _COMPOUND else _text(member)
                opening, closing = f"<{wire}{_namespace(member, None)}>", f"</{wire}>"
                members.append((name, neutral.get(name), text, opening, closing, self._write(member, wire)))
        return members, attributes

    def _write_structure(self, shape: StructureShape, tag: str, start: str) -> Write:
        members, attributes = self._members(shape)
        opening, closing = f"<{start}>", f"</{tag}>"

        def write(value: Any, out: list[str]) -> None:
            present = [
                (wire, convert(value[name])) for name, wire, convert in attributes if value.get(name) is not None
            ]
            if present:
                out.append(f"<{start}" + "".join(f' {wire}="{escape(text)}"' for wire, text in present) + ">")
            else:
                out.append(opening)
            _write_members(members, value, out)
            out.append(closing)

        return write

    def _write_list(self, shape: ListShape, tag: str, start: str) -> Write:
        flattened = shape.serialization.get("flattened")
        convert = self._write(shape.member, self._name(shape.member, tag if flattened else "member"))
        opening, closing = f"<{start}>", f"</{tag}>"

        def write(value: Any, out: list[str]) -> None:
            if not flattened:
                out.append(opening)
            for item in value:
                if item is not None:
                    convert(item, out)
            if not flattened:
                out.append(closing)

        return write

    def _write_map(self, shape: MapShape, tag: str, start: str) -> Write:
        flattened = shape.serialization.get("flattened")
        write_key = self._write(shape.key, self._name(shape.key, "key"))
        write_value = self._write(shape.value, self._name(shape.value, "value"))
        opening, closing = f"<{start}>", f"</{tag}>"
        entry_opening, entry_closing = (opening, closing) if flattened else ("<entry>", "</entry>")

        def write(value: Any, out: list[str]) -> None:
            if not flattened:
                out.append(opening)
            for key, item in value.items():
                if item is not None:
                    out.append(entry_opening)
                    write_key(key, out)
                    write_value(item, out)
                    out.append(entry_closing)
            if not flattened:
                out.append(closing)

        return write


def _write_members(members: list[Member], value: Any, out: list[str]) -> None:
    get, append = value.get, out.append
    for name, default, text_of, opening, closing, convert in members:
        item = get(name, default)
        if item is None:
            continue
        if text_of is not None:  # most are scalars: a call less for each
            append(f"{opening}{text_of(item)}{closing}")
        else:
            convert(item, out)


def _set(name: str, convert: Read) -> ReadChild:
    def read(child: Element, result: dict[str, Any]) -> None:
        result[name] = convert(child)

    return read


def _append(name: str, convert: Read) -> ReadChild:
    def read(child: Element, result: dict[str, Any]) -> None:
        result.setdefault(name, []).append(convert(child))

    return read


def _enter(name: str, entry: Callable[[Element], tuple[Any, Any]]) -> ReadChild:
    def read(child: Element, result: dict[str, Any]) -> None:
        key, value = entry(child)
        result.setdefault(name, {})[key] = value

    return read


def _scalar_reader(shape: Shape) -> Read:
    convert = scalars.reader(shape)
    is_text = shape.type_name in ("string", "character")
    is_blob = shape.type_name == "blob"

    def read(element: Element) -> Any:
        if len(element):
            raise Malformed("Expected text, found elements.")
        text = element.text or ""
        if is_blob:
            text = "".join(text.split())
        return text if is_text else convert(text)

    return read


def _scalar_writer(shape: Shape, tag: str, start: str) -> Write:
    opening, closing, text_of = f"<{start}>", f"</{tag}>", _text(shape)
    return lambda value, out: out.append(f"{opening}{text_of(value)}{closing}")


def _text(shape: Shape) -> Text:
    if shape.type_name in ("string", "character"):
        return lambda value: escape(value if type(value) is str else str(value))
    return scalars.writer(shape, "iso8601")


def _children_only(element: Element) -> Element:
    if element.text is not None and element.text.strip():
        raise Malformed(f"Expected elements, found the text '{element.text.strip():.40}'.")
    return element


def _namespace(shape: Shape, default: str | None) -> str:
    declared = shape.serialization.get("xmlNamespace", default)
    if not declared:
        return ""
    if isinstance(declared, str):
        return f' xmlns="{escape(declared)}"'
    prefix = f":{declared['prefix']}" if declared.get("prefix") else ""
    return f' xmlns{prefix}="{escape(declared["uri"])}"'


def _reference(match: re.Match[str]) -> str:
    return f"&#x{ord(match.group()):X};"

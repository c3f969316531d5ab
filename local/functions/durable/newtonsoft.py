"""JSON as Newtonsoft.Json, the extension's library, reads it: what it takes beyond the standard, and its complaints.

It takes single quotes, names without quotes, comments, commas at the end of an array and `undefined`. What it can't
read it names with path, line and position: those words are in the management API's 400.
"""

from typing import Any

WHITE_SPACE = " \t\r\n\f\v"
DELIMITERS = "'\""
IN_NUMBERS = frozenset("-+.0123456789abcdefABCDEFxX")
AFTER_NUMBERS = frozenset(",}])/")
WORDS: dict[str, tuple[str, Any]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "null": ("null", None),
    "NaN": ("NaN", float("nan")),
    "Infinity": ("Infinity", float("inf")),
    "-Infinity": ("negative infinity", float("-inf")),
    "undefined": ("undefined", None),
}
ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", "/": "/", '"': '"', "'": "'"}
CLOSING = {"]": "EndArray", "}": "EndObject"}
CONTAINERS = {"]": "Array", "}": "Object"}


class JsonError(ValueError):
    """A text that isn't read; `kind` is the .NET class of the exception."""

    def __init__(self, message: str, kind: str = "JsonReaderException") -> None:
        super().__init__(message)
        self.kind = f"Newtonsoft.Json.{kind}"


class _EndError(Exception):
    """The text ends within a container."""


def deserialized(text: str) -> Any:
    """As JsonConvert.DeserializeObject: one value and nothing after it; an empty text is null."""
    reader = _Reader(text)
    if reader.at_end():
        return None
    try:
        value = reader.value()
    except _EndError:
        raise _unfinished(reader) from None
    if not reader.at_end():
        raise reader.error(
            f"Additional text encountered after finished reading JSON content: {reader.next}", outside=True
        )
    return value


def _unfinished(reader: "_Reader") -> JsonError:
    in_object = reader.opened[0] == "Object"
    if len(reader.opened) == 1 and in_object:
        words = "reading JSON" if reader.positions == [None] else "deserializing object"
        return reader.error(f"Unexpected end when {words}", "JsonSerializationException")
    path = _path(reader.positions[:-1])
    return JsonError(f"Unexpected end when reading token. Path '{path}'.", "JsonWriterException")


def loaded(text: str) -> Any:
    """As JToken.Load: the first value; what follows it isn't looked at."""
    reader = _Reader(text)
    if reader.at_end():
        raise reader.error("Error reading JToken from JsonReader")
    try:
        return reader.value()
    except _EndError:
        kind = f"J{reader.opened[0]}"
        if reader.positions == [None]:
            raise reader.error(f"Error reading {kind} from JsonReader") from None
        raise reader.error(f"Unexpected end of content while loading {kind}") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._line = 1
        self._line_start = 0
        self._begun = False
        self.opened: list[str] = []
        self.positions: list[str | int | None] = []
        """Of each open container: the name or index of what was read last, None at its beginning."""

    # --- where it is --------------------------------------------------------------------------------------------------

    @property
    def next(self) -> str:
        return self._text[self._place] if self._place < len(self._text) else "\0"

    def path(self) -> str:
        return _path(self.positions)

    def error(self, words: str, kind: str = "JsonReaderException", *, outside: bool = False) -> JsonError:
        position = self._place - self._line_start
        line = self._line if self._begun or position else 0
        where = "" if outside else self.path()
        return JsonError(f"{words}. Path '{where}', line {line}, position {position}.", kind)

    def at_end(self) -> bool:
        self._skip()
        return self._place >= len(self._text)

    def _skip(self) -> None:
        """White space and comments."""
        while self._place < len(self._text):
            if self.next == "/":
                self._comment()
            elif self.next in WHITE_SPACE or self.next.isspace():
                self._step()
            else:
                return

    def _step(self) -> str:
        char = self.next
        self._place += 1
        if char == "\n" or (char == "\r" and self.next != "\n"):
            self._line += 1
            self._line_start = self._place
        return char

    def _comment(self) -> None:
        self._step()
        if self.next not in "*/" or self._place >= len(self._text):
            raise self.error(f"Error parsing comment. Expected: *, got {self.next}")
        end = "*/" if self._step() == "*" else "\n"
        found = self._text.find(end, self._place)
        if found < 0 and end == "*/":
            self._place = len(self._text)
            raise self.error("Unexpected end while parsing comment")
        for _ in range((len(self._text) if found < 0 else found + len(end)) - self._place):
            self._step()

    # --- values -------------------------------------------------------------------------------------------------------

    def value(self) -> Any:
        if self.at_end():
            raise _EndError
        char = self.next
        if char in "{[":
            return self._container(char)
        if char in DELIMITERS:
            return self._string()
        for word, (name, value) in WORDS.items():
            if char == word[0] and (char != "-" or self._text.startswith("-I", self._place)):
                if char == "n" and not self._text.startswith("nu", self._place):
                    break
                return self._word(word, name, value)
        if char == ",":
            return None
        if char in CLOSING and char == "]":
            self._step()
            container = self.opened.pop() if self.opened else "None"
            self.positions[-1:] = []
            raise self.error(f"JsonToken EndArray is not valid for closing JsonType {container}")
        if char.isnumeric() or char in "-.":
            return self._number()
        raise self.error(f"Unexpected character encountered while parsing value: {char}")

    def _word(self, word: str, name: str, value: Any) -> Any:
        self._begun = True
        if len(self._text) - self._place < len(word):
            self._place = len(self._text)
            raise self.error("Unexpected end when reading JSON")
        for char in word:
            if self.next != char:
                raise self.error(f"Error parsing {name} value")
            self._place += 1
        if self._place < len(self._text) and self.next not in WHITE_SPACE and self.next not in AFTER_NUMBERS:
            raise self.error(f"Error parsing {name} value")
        return value

    def _number(self) -> int | float:
        self._begun = True
        start = self._place
        while self._place < len(self._text) and self.next in IN_NUMBERS:
            self._place += 1
        if self._place < len(self._text) and self.next not in AFTER_NUMBERS and not self.next.isspace():
            raise self.error(f"Unexpected character encountered while parsing number: {self.next}")
        text = self._text[start : self._place]
        for read in (int, float, lambda given: int(given, 16)):
            try:
                return read(text)
            except ValueError:
                continue
        raise self.error(f"Input string '{text}' is not a valid number")

    def _string(self) -> str:
        self._begun = True
        delimiter, text = self._step(), ""
        while self.next != delimiter:
            if self._place >= len(self._text):
                raise self.error(f"Unterminated string. Expected delimiter: {delimiter}")
            char = self._step()
            text += self._escape() if char == "\\" else char
        self._step()
        return text

    def _escape(self) -> str:
        char = self._step()
        if char == "u":
            digits = self._text[self._place : self._place + 4]
            self._place += len(digits)
            try:
                return chr(int(digits, 16)) if len(digits) == 4 else ""
            except ValueError:
                raise self.error(f"Invalid Unicode escape sequence: \\u{digits}") from None
        if char not in ESCAPES:
            raise self.error(f"Bad JSON escape sequence: \\{char}")
        return ESCAPES[char]

    # --- containers ---------------------------------------------------------------------------------------------------

    def _container(self, opening: str) -> Any:
        self._begun = True
        self._step()
        closing = "}" if opening == "{" else "]"
        if self.opened and self.opened[-1] == "Array":
            before = self.positions[-1]
            self.positions[-1] = before + 1 if isinstance(before, int) else 0
        self.opened.append(CONTAINERS[closing])
        self.positions.append(None)
        found: Any = {} if closing == "}" else []
        while True:
            if self.at_end():
                raise _EndError
            if self.next == closing:
                break
            if closing == "}":
                name = self._name()
                self.positions[-1] = name
                found[name] = self.value()
            else:
                value = self.value()
                found.append(value)
                self.positions[-1] = len(found) - 1
            if not self._goes_on(closing):
                break
        self._step()
        self.opened.pop()
        self.positions.pop()
        return found

    def _goes_on(self, closing: str) -> bool:
        """After a value: whether a comma follows; the closing bracket is left where it is."""
        if self.at_end():
            raise _EndError
        if self.next == ",":
            self._step()
            return True
        if self.next == closing:
            return False
        if self.next in CLOSING:
            kind, container = CLOSING[self.next], self.opened.pop()
            self._step()
            self.positions.pop()
            raise self.error(f"JsonToken {kind} is not valid for closing JsonType {container}")
        raise self.error(f"After parsing a value an unexpected character was encountered: {self.next}")

    def _name(self) -> str:
        if self.next in DELIMITERS:
            name = self._string()
        elif _is_in_a_name(self.next):
            name = self._bare_name()
        else:
            raise self.error(f"Invalid property identifier character: {self.next}")
        self._skip()
        if self.next != ":":
            raise self.error(f"Invalid character after parsing property name. Expected ':' but got: {self.next}")
        self._step()
        return name

    def _bare_name(self) -> str:
        start = self._place
        while self._place < len(self._text):
            if self.next == ":" or self.next.isspace():
                return self._text[start : self._place]
            if not _is_in_a_name(self.next):
                raise self.error(f"Invalid JavaScript property identifier character: {self.next}")
            self._place += 1
        raise self.error("Unexpected end while parsing unquoted property name")


def _is_in_a_name(char: str) -> bool:
    return char.isalnum() or char in "_$"


def _path(positions: list[str | int | None]) -> str:
    path = ""
    for one in positions:
        if isinstance(one, int):
            path += f"[{one}]"
        elif one is not None and all(_is_in_a_name(char) for char in one):
            path += f".{one}" if path else one
        elif one is not None:
            path += f"['{one}']"
    return path

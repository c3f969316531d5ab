"""Complaints in Newtonsoft.Json's words, as they stand in the management API's answers."""

from typing import Any

import pytest

from local.functions.durable.newtonsoft import JsonError, deserialized, loaded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{no", "Unexpected end while parsing unquoted property name. Path '', line 1, position 3."),
        ("<html>", "Unexpected character encountered while parsing value: <. Path '', line 0, position 0."),
        ("nope", "Unexpected character encountered while parsing value: n. Path '', line 0, position 0."),
        ('{"a":}', "Unexpected character encountered while parsing value: }. Path 'a', line 1, position 5."),
        ('{"a":{"b c":[1,x]}}', "Unexpected character encountered while parsing value: x. Path 'a['b c'][0]', line 1, position 15."),
        ('{"a" 1}', "Invalid character after parsing property name. Expected ':' but got: 1. Path '', line 1, position 5."),
        ("{]}", "Invalid property identifier character: ]. Path '', line 1, position 1."),
        ("[1 2]", "After parsing a value an unexpected character was encountered: 2. Path '[0]', line 1, position 3."),
        ('{"a":1]', "JsonToken EndArray is not valid for closing JsonType Object. Path '', line 1, position 7."),
        ('"abc', "Unterminated string. Expected delimiter: \". Path '', line 1, position 4."),
        ('"\\x"', "Bad JSON escape sequence: \\x. Path '', line 1, position 3."),
        ("tru", "Unexpected end when reading JSON. Path '', line 1, position 3."),
        ('{\n"a":\ntrue1}', "Error parsing boolean value. Path 'a', line 3, position 4."),
        ("1x", "Input string '1x' is not a valid number. Path '', line 1, position 2."),
        ("12k", "Unexpected character encountered while parsing number: k. Path '', line 1, position 2."),
    ],
)  # fmt: skip
def test_both_ways_of_reading_complain_alike(text: str, message: str) -> None:
    for read in (deserialized, loaded):
        with pytest.raises(JsonError) as refused:
            read(text)
        assert (str(refused.value), refused.value.kind) == (message, "Newtonsoft.Json.JsonReaderException")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{", "JsonSerializationException", "Unexpected end when reading JSON. Path '', line 1, position 1."),
        ('{"a":1', "JsonSerializationException", "Unexpected end when deserializing object. Path 'a', line 1, position 6."),
        ('{"a":[1', "JsonWriterException", "Unexpected end when reading token. Path 'a'."),
        ("1 2", "JsonReaderException", "Additional text encountered after finished reading JSON content: 2. Path '', line 1, position 2."),
    ],
)  # fmt: skip
def test_an_input_that_ends_too_early_or_too_late(text: str, kind: str, message: str) -> None:
    with pytest.raises(JsonError) as refused:
        deserialized(text)
    assert (str(refused.value), refused.value.kind) == (message, f"Newtonsoft.Json.{kind}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Error reading JToken from JsonReader. Path '', line 0, position 0."),
        ("{", "Error reading JObject from JsonReader. Path '', line 1, position 1."),
        ("[[", "Unexpected end of content while loading JArray. Path '[0]', line 1, position 2."),
        ('{"a":[1', "Unexpected end of content while loading JObject. Path 'a[0]', line 1, position 7."),
    ],
)
def test_an_event_that_ends_too_early(text: str, message: str) -> None:
    with pytest.raises(JsonError) as refused:
        loaded(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 'x', b: [1,2,], /* c */ c: undefined} // d", {"a": "x", "b": [1, 2], "c": None}),
        ('["\\u00e9", 0x10, -1.5e3, null, false]', ["é", 16, -1500.0, None, False]),
        ('{"a": {"a": []}, "b": "\\n"}', {"a": {"a": []}, "b": "\n"}),
    ],
)
def test_what_goes_beyond_the_standard_is_taken(text: str, value: Any) -> None:
    assert deserialized(text) == loaded(text) == value


def test_an_input_may_be_empty_and_an_event_followed_by_something() -> None:
    assert deserialized(" \n ") is None
    assert loaded('{"a": 1} and more') == {"a": 1}

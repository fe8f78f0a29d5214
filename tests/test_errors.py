"""Errors carry facts; their sentences are composed for Python, for the command line and for a server's answer."""

import pickle

import pytest

from lookalike.errors import LookalikeError, NoCollection, StoreFailed


def test_a_sentence_is_composed_of_the_facts() -> None:
    error = NoCollection(
        "there is no collection",
        subject="/home/me/photos.c",
        hint="create one with Collection.open(..., create=True)",
        command="index FOLDER -c /home/me/photos.c",
        location="/home/me/photos.c",
    )
    assert str(error) == (
        "/home/me/photos.c: there is no collection; create one with Collection.open(..., create=True)"
    )
    assert error.for_command_line() == (
        "/home/me/photos.c: there is no collection; run: lookalike index FOLDER -c /home/me/photos.c"
    )
    assert error.without_location() == (
        "the collection: there is no collection; create one with Collection.open(..., create=True)"
    )


def test_a_reason_alone_is_the_sentence() -> None:
    error = LookalikeError("k is 0; ask for at least one image")
    assert str(error) == error.for_command_line() == error.without_location() == "k is 0; ask for at least one image"
    assert str(LookalikeError()) == ""


@pytest.mark.parametrize("kind", [LookalikeError, NoCollection, StoreFailed])
def test_errors_travel_between_processes(kind: type[LookalikeError]) -> None:
    error = kind("it failed", subject="a.jpg", hint="try again", command="index", location="/a.jpg")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (kind, str(error), error.__dict__)

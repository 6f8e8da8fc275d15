"""The library of the stand-in."""

from __future__ import annotations

from proxy.standin.library import Library


def test_ids_are_never_given_twice() -> None:
    library = Library(0.0)
    library.gallery(2000)

    ids = [*library.entities, *library.shares, *(account.id for account in library.accounts)]
    assert len(set(ids)) == len(ids)


def test_a_gallery_is_a_public_share_of_fresh_pictures() -> None:
    """Its URIs need no login, and nothing has been generated."""
    library = Library(0.0)

    share, uris = library.gallery(3)

    assert uris == [f"cloudreve://{share.id}@share/{number}.png" for number in range(3)]
    assert not share.password
    assert all(library.file(f"{share.path}/{number}.png").thumbnail is None for number in range(3))


def test_a_thumbnail_can_be_given_as_bytes() -> None:
    library = Library(0.0)
    file = library.put(library.alice, "/measured.png", thumbnail=b"x" * 2000)

    assert library.keep_thumbnail(file).read() == b"x" * 2000


def test_every_picture_is_another() -> None:
    """Files differ from each other, and from their originals."""
    library = Library(0.0, (40, 30))
    entities = [library.keep_thumbnail(library.file(path)) for path in ("/album/one.png", "/album/two.png")]

    assert len({entity.read() for entity in entities} | {library.file("/album/one.png").original.read()}) == 3

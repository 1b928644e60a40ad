"""What this distribution brings to `globalworkspace`; light, targets are imported on first use."""

from __future__ import annotations

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_datasets(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the data set kinds `shapes` and `rooms`."""
    register(
        "shapes",
        "globalworkspace_shapes.dataset:load",
        summary="Simple Shapes, made on the spot: pictures, captions, attributes, sounds",
    )
    register(
        "rooms",
        "globalworkspace_shapes.rooms:load",
        summary="objects in lit rooms, made on the spot: pictures, captions, attributes",
    )


@hookimpl
def register_evaluations(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the evaluation kind `caption-words`."""
    register(
        "caption-words",
        "globalworkspace_shapes.words:caption_words",
        summary="how right the words of written captions are",
    )


@hookimpl
def register_report_sections(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the report sections `caption-words` and `demo`."""
    register(
        "caption-words",
        "globalworkspace_shapes.words:words_section",
        summary="the figures of caption-words",
    )
    register(
        "demo",
        "globalworkspace_shapes.demo:arms_section",
        summary="the two trainings of the demo",
    )


@hookimpl
def register_commands(register) -> None:  # type: ignore[no-untyped-def]
    """Announce the command `demo`."""
    register(
        "demo",
        "globalworkspace_shapes.demo:DemoCommand",
        summary="join pictures, captions and attributes of simple shapes",
    )

"""Rooms: pictures that show their attributes, captions that tell them."""

import attrs
import pytest
import torch
from globalworkspace_attributes import AttributesDomain
from globalworkspace_shapes.room_captions import describe_rooms, read_room_caption, room_facts
from globalworkspace_shapes.room_render import render_rooms
from globalworkspace_shapes.rooms import (
    OBJECTS,
    RoomAttributes,
    attribute_columns,
    load,
    load_rooms,
    sample_rooms,
)

from globalworkspace.errors import ConfigError, DataError


def one(**changed):
    """A red cube in the middle of a room of green and blue, the post and the camera aside."""
    values = {
        "category": 0,
        "x": 0.0,
        "z": 0.4,
        "turn": 0.0,
        "size": 0.4,
        "color": (0.9, 0.1, 0.1),
        "post": 1.2,
        "floor": 2.1,
        "wall": 4.2,
        "light": 4.7,
        "brightness": 0.9,
        "camera": 0.0,
        "height": 1.2,
    } | changed
    return RoomAttributes(**{name: torch.tensor([value]) for name, value in values.items()})


def reddish(picture):
    """(H, W) bool: which pixels are the red object's."""
    r, g, b = picture[0].float()
    return (r > 1.3 * g) & (r > 1.3 * b)


def centre(**changed):
    mask = reddish(render_rooms(one(**changed)))
    rows, columns = mask.nonzero(as_tuple=True)
    return columns.float().mean(), rows.float().mean(), int(mask.sum())


def test_the_object_is_where_it_is_said_to_be():
    assert centre(x=-0.8)[0] < centre(x=0.0)[0] - 8 < centre(x=0.8)[0] - 16
    assert centre(z=1.1)[1] < centre(z=-0.2)[1] - 1  # what is further back stands higher
    assert centre(z=1.1)[2] < centre(z=-0.2)[2]  # and looks smaller
    assert centre(size=0.3)[2] < 0.7 * centre(size=0.45)[2]


def test_it_is_in_the_middle_of_a_symmetric_view():
    across, _, _ = centre()
    assert across == pytest.approx(31.5, abs=0.3)


def test_the_post_hides_what_is_behind_it():
    assert centre(post=0.0)[2] < 0.75 * centre(post=1.2)[2]


def test_the_camera_goes_round_the_room():
    assert centre(camera=20.0, z=1.2)[0] > centre(z=1.2)[0] + 2  # what is behind moves with it


def test_a_pyramid_has_a_tip():
    mask = reddish(render_rooms(one(category=OBJECTS.index("pyramid"))))
    widths = mask.sum(dim=1)[mask.any(dim=1)]
    assert widths[0] <= 2 < widths[-2]
    cube = reddish(render_rooms(one()))
    assert cube.sum(dim=1)[cube.any(dim=1)][1] > 10


def test_the_front_has_a_light_patch():
    green = [int(render_rooms(one(turn=t))[0, 1].float()[25:40, 28:36].mean()) for t in (0.0, 3.14)]
    assert green[0] > 1.5 * green[1]


@pytest.mark.parametrize(("light", "side"), [(0.0, -1), (3.14159, 1)])
def test_a_shadow_falls_away_from_the_lamp(light, side):
    shaded, free = (render_rooms(one(light=light, size=s))[0, 1].float() for s in (0.4, 0.01))
    seen = reddish(render_rooms(one(light=light)))
    shadow = (shaded < 0.8 * free) & ~seen
    assert shadow.sum() > 40
    assert side * (shadow.nonzero()[:, 1].float().mean() - 31.5) > 5


@pytest.mark.parametrize("size", [16, 64, 96])
def test_equal_rooms_are_equal_pictures(size):
    rooms = sample_rooms(5, torch.Generator().manual_seed(0))
    pictures = render_rooms(rooms, size)
    assert pictures.shape == (5, 3, size, size) and pictures.dtype == torch.uint8
    alone = torch.cat([render_rooms(rooms[i : i + 1], size) for i in range(5)])
    assert (pictures.int() - alone.int()).abs().max() <= 1  # of float32 rounding


def test_every_factor_is_seen():
    base = one(category=1, post=-0.5, camera=5.0)
    for field in attrs.fields(RoomAttributes):
        value = getattr(base, field.name)
        moved = value + 1 if field.name == "category" else value * 0.7 + 0.1
        changed = attrs.evolve(base, **{field.name: moved})
        differ = (render_rooms(base).int() - render_rooms(changed).int()).abs() > 8
        assert differ.sum() > 20, field.name


def test_captions_tell_what_is_there():
    rooms = sample_rooms(400, torch.Generator().manual_seed(1))
    columns = {name: values.tolist() for name, values in rooms.columns().items()}
    texts = describe_rooms(rooms, seed=3)
    for row, text in enumerate(texts):
        told = read_room_caption(text)
        assert told == room_facts({name: values[row] for name, values in columns.items()}), text
    assert len(set(texts)) > 395
    assert describe_rooms(rooms[7:9], seed=3) == texts[7:9]
    assert describe_rooms(rooms, seed=4) != texts


def test_a_caption_of_something_else_is_refused():
    with pytest.raises(DataError, match="names no object"):
        read_room_caption("A diamond on black.")


def test_a_split_is_a_table_of_matched_rows():
    table = load("test", 6, picture_size=32)
    assert table.domains == ("picture", "caption", "attributes") and len(table) == 6
    assert table["picture"].cells.shape == (6, 3, 32, 32)
    again = load("test", 6, picture_size=32)
    assert torch.equal(table["picture"].cells, again["picture"].cells)
    assert table["caption"].cells == again["caption"].cells
    other = load_rooms("validation", 6)
    assert not torch.equal(other.x, load_rooms("test", 6).x)


def test_its_attributes_make_a_domain():
    domain = AttributesDomain(attribute_columns())
    table = load("test", 4, domains=["attributes"])
    latents = domain.encode(table["attributes"].cells)
    back = domain.decode(latents)
    assert back["object"] == [OBJECTS[i] for i in table["attributes"].cells["object"].tolist()]
    assert back["light"] == pytest.approx(table["attributes"].cells["light"].tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tset"}, 'no split "tset"'),
        ({"num_items": 0}, "at least 1"),
        ({"domains": ["sound"]}, 'asked for the domain "sound"'),
        ({"domains": []}, "asked for no domain"),
        ({"picture_size": 1.5}, "whole number of pixels"),
    ],
)
def test_what_there_is_not_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        load(**options)

"""Words and sentence structures of the captions, chosen so that each sentence can be read back.

Each kind of fact (size, color, class, place, direction) has phrases of its own and no phrase can be
found inside or across phrases of another kind: that is why a middle size is "mid-sized" (there is a
"medium blue"), and why a direction is only read behind its verb.
"""

from __future__ import annotations

from itertools import permutations, product

from PIL import ImageColor

SIZE_EDGES = (9, 11, 13)
"""Sizes below 9, below 11, below 13 and above have words of their own."""

SIZE_WORDS = (
    ("tiny", "minuscule", "very small"),
    ("small", "little", "smallish"),
    ("mid-sized", "medium-sized", "average-sized"),
    ("large", "big", "huge"),
)

SHAPE_NAMES = (
    (
        "diamond",
        "kite",
        "rhombus",
        "lozenge",
        "diamond shape",
        "kite shape",
        "diamond-shaped figure",
    ),
    ("egg", "egg shape", "oval", "ovoid", "egg-shaped figure", "egg-like form", "oval shape"),
    ("triangle", "isosceles triangle"),
)
"""Names per class, in the order of `CLASSES`."""

_COLORS = (
    "alice blue, antique white, aquamarine, azure, beige, bisque, black, blanched almond, blue, "
    "blue violet, brown, "
    "burly wood, cadet blue, chartreuse, chocolate, coral, cornflower blue, cornsilk, crimson, "
    "cyan, dark blue, "
    "dark cyan, dark goldenrod, dark gray, dark green, dark khaki, dark magenta, dark olive green, "
    "dark orange, "
    "dark orchid, dark red, dark salmon, dark sea green, dark slate blue, dark slate gray, dark "
    "turquoise, "
    "dark violet, deep pink, deep sky blue, dim gray, dodger blue, fire brick, floral white, "
    "forest green, "
    "gainsboro, ghost white, gold, goldenrod, gray, green, green yellow, honeydew, hot pink, "
    "indian red, indigo, "
    "ivory, khaki, lavender, lavender blush, lawn green, lemon chiffon, light blue, light coral, "
    "light cyan, "
    "light goldenrod yellow, light gray, light green, light pink, light salmon, light sea green, "
    "light sky blue, "
    "light slate gray, light steel blue, light yellow, lime, lime green, linen, magenta, maroon, "
    "medium aquamarine, medium blue, medium orchid, medium purple, medium sea green, medium slate "
    "blue, "
    "medium spring green, medium turquoise, medium violet red, midnight blue, mint cream, misty "
    "rose, moccasin, "
    "navajo white, navy, old lace, olive, olive drab, orange, orange red, orchid, pale goldenrod, "
    "pale green, "
    "pale turquoise, pale violet red, papaya whip, peach puff, peru, pink, plum, powder blue, "
    "purple, "
    "rebecca purple, red, rosy brown, royal blue, saddle brown, salmon, sandy brown, sea green, "
    "seashell, sienna, "
    "silver, sky blue, slate blue, slate gray, snow, spring green, steel blue, tan, teal, thistle, "
    "tomato, "
    "turquoise, violet, wheat, white, white smoke, yellow, yellow green"
)
COLORS = {name: ImageColor.getrgb(name.replace(" ", ""))[:3] for name in _COLORS.split(", ")}
"""The 139 distinct named colors of CSS, in words -> 8-bit red, green, blue."""

DIRECTION_VERBS = ("pointing", "facing", "turned")

_COMPASS_8 = ("north", "northwest", "west", "southwest", "south", "southeast", "east", "northeast")
_COMPASS_16 = (
    "north",
    "north-northwest",
    "northwest",
    "west-northwest",
    "west",
    "west-southwest",
    "southwest",
    "south-southwest",
    "south",
    "south-southeast",
    "southeast",
    "east-southeast",
    "east",
    "east-northeast",
    "northeast",
    "north-northeast",
)
DIRECTION_WRITERS = (
    tuple(f"to the {point}" for point in _COMPASS_8),
    tuple(f"due {point}" for point in _COMPASS_16),
    (
        "towards the top",
        "towards the upper left corner",
        "towards the left side",
        "towards the lower left corner",
        "towards the bottom",
        "towards the lower right corner",
        "towards the right side",
        "towards the upper right corner",
    ),
    (
        "straight up",
        "up with a slight tilt to the left",
        "diagonally up and to the left",
        "left with a slight tilt upwards",
        "straight left",
        "left with a slight tilt downwards",
        "diagonally down and to the left",
        "down with a slight tilt to the left",
        "straight down",
        "down with a slight tilt to the right",
        "diagonally down and to the right",
        "right with a slight tilt downwards",
        "straight right",
        "right with a slight tilt upwards",
        "diagonally up and to the right",
        "up with a slight tilt to the right",
    ),
)
"""Four ways to name a direction; each goes counter-clockwise in 8 or 16 steps from rotation 0,
which points up."""

GRID_COLUMNS = (
    "at the far left",
    "on the left",
    "slightly left of center",
    "halfway across",
    "slightly right of center",
    "on the right",
    "at the far right",
)
GRID_ROWS = (
    "at the very bottom",
    "in the lower part",
    "slightly below the middle",
    "at mid-height",
    "slightly above the middle",
    "in the upper part",
    "at the very top",
)
"""Seven rows from the bottom up."""
GRID_JOINS = ("{row} and {column}", "{column} and {row}", "{row}, {column}")
ANCHORS = (
    ("in the bottom left corner", "at the center of the bottom edge", "in the bottom right corner"),
    (
        "at the center of the left edge",
        "in the middle of the picture",
        "at the center of the right edge",
    ),
    ("in the top left corner", "at the center of the top edge", "in the top right corner"),
)
"""Nine anchors: three rows from the bottom up, each from left to right."""

OPENINGS = (
    "there is",
    "here is",
    "this is",
    "this picture shows",
    "the image contains",
    "one can see",
    "we are looking at",
    "you see",
)
VERBS = ("lies", "sits", "is placed", "is located")


def _orders(pattern: str, *groups: tuple[str, ...]) -> tuple[str, ...]:
    """Write `pattern` with each group's slots in every order; `<a 0>` is slot 0 with article."""
    sentences = []
    for chosen in product(*(permutations(group) for group in groups)):
        slots = [slot for group in chosen for slot in group]
        sentence = pattern
        for number, slot in enumerate(slots):
            sentence = sentence.replace(f"<{number}>", f"{{{slot}}}")
            sentence = sentence.replace(f"<a {number}>", f"{{a_{slot}}}")
        sentences.append(sentence)
    return tuple(sentences)


STRUCTURES = (
    _orders("{opening} {a_size} {color} {shape} <0>, <1>.", ("place", "direction")),
    _orders("{opening} <a 0>, <1> {shape} <2>, <3>.", ("size", "color"), ("place", "direction")),
    _orders("<0>, {opening} {a_size} {color} {shape} <1>.", ("place", "direction")),
    _orders("{opening} {a_color} {shape} {place}. It is <0> and <1>.", ("direction", "size"))
    + _orders("{opening} {a_size} {shape} {direction}. It is <0> and <1>.", ("place", "color")),
    _orders("The {shape} {place} is <0>, <1> and <2>.", ("size", "color", "direction")),
    _orders(
        "{opening} {a_shape} that is <0>, <1>, <2> and <3>.",
        ("size", "color", "place", "direction"),
    ),
    _orders("{a_shape}: <0>; <1>; <2>; <3>.", ("size", "color", "place", "direction")),
    _orders("{a_size} {shape} {verb} {place}. Its color is {color}; it is {direction}."),
)
"""Eight sentence structures, each with the orders that its groups of facts may take."""

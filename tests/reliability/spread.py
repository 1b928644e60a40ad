"""Which points to be killed at; needs no globalworkspace, as the peers' harness has none."""


def spread(names, number, generator):
    """Positions of `number` points, of each name as many as of any other, as far as they go."""
    waiting = {}
    for position, name in enumerate(names):
        waiting.setdefault(name, []).append(position)
    for positions in waiting.values():
        generator.shuffle(positions)
    found = []
    while len(found) < min(number, len(names)):
        for positions in waiting.values():
            if positions and len(found) < number:
                found.append(positions.pop())
    return found

"use strict";
(() => {
  const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const COLOURS = 8;
  const ramp = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
    const low = Math.min(Math.floor(at), STOPS.length - 2);
    const mixed = STOPS[low].map((c, i) => Math.round(c + (at - low) * (STOPS[low + 1][i] - c)));
    return `rgb(${mixed.join(",")})`;
  };
  const classColour = (k, of) => {
    if (of <= COLOURS) return `var(--c${k})`;
    const deep = [0, 14, -10][k % 3];
    return `hsl(${Math.round(360 * k / of)} 62% calc(var(--of-class) + ${deep}%))`;
  };
  const mark = (colour, text) => {
    const entry = document.createElement("span");
    const dot = document.createElement("i");
    dot.style.background = colour;
    entry.append(dot, text);
    return entry;
  };
  const short = (value) => String(Number(value.toPrecision(3)));

  for (const box of document.querySelectorAll(".colouring")) {
    const { groups, colourings } = JSON.parse(box.querySelector("script").textContent);
    const legend = box.querySelector(".legend");
    const points = groups.map((id) => [...document.getElementById(id).querySelectorAll("use")]);
    const first = points.map((some) => some.map((point) => point.style.fill));
    box.hidden = false;
    const select = box.querySelector("select");
    select.addEventListener("change", () => {
      legend.replaceChildren();
      const chosen = colourings[select.value];
      if (!chosen) {
        points.forEach((some, g) => some.forEach((point, i) => { point.style.fill = first[g][i]; }));
        return;
      }
      const known = chosen.values.flat().filter((value) => value !== null);
      const low = Math.min(...known), high = Math.max(...known);
      const colour = (value) => {
        if (value === null) return "var(--line)";
        return chosen.names.length ? classColour(value, chosen.names.length) : ramp(high > low ? (value - low) / (high - low) : 0.5);
      };
      points.forEach((some, g) => some.forEach((point, i) => { point.style.fill = colour(chosen.values[g][i]); }));
      if (chosen.names.length) {
        chosen.names.forEach((text, k) => legend.append(mark(classColour(k, chosen.names.length), text)));
      } else {
        const bar = document.createElement("i");
        bar.className = "ramp";
        bar.style.background = `linear-gradient(to right, ${STOPS.map((_, k) => ramp(k / (STOPS.length - 1))).join(",")})`;
        legend.append(short(low), bar, short(high));
      }
    });
  }
})();

"use strict";
(() => {
  const form = document.getElementById("given");
  const said = document.getElementById("said");
  const answers = document.getElementById("answers");
  const fields = [...form.querySelectorAll("fieldset")];
  for (const field of fields) {
    const file = field.querySelector("input");
    field.addEventListener("dragover", (event) => { event.preventDefault(); field.classList.add("over"); });
    field.addEventListener("dragleave", () => field.classList.remove("over"));
    field.addEventListener("drop", (event) => {
      event.preventDefault();
      field.classList.remove("over");
      if (event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        form.requestSubmit();
      }
    });
  }
  form.addEventListener("reset", () => { answers.replaceChildren(); said.textContent = ""; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = new FormData();
    for (const field of fields) {
      const file = field.querySelector("input").files[0];
      const text = field.querySelector("textarea").value;
      if (file) given.append(field.dataset.domain, file, file.name);
      else if (text.trim()) given.append(field.dataset.domain, text);
    }
    said.textContent = "Translating …";
    answers.replaceChildren();
    let told;
    try {
      const response = await fetch("translate", { method: "POST", body: given, headers: { "X-Globalworkspace": "1" } });
      told = await response.json();
    } catch (error) {
      told = { error: `The server does not answer: ${error.message}` };
    }
    said.textContent = told.error || (told.detail ? String(told.detail) : "");
    for (const [domain, html] of Object.entries(told.answers || {})) {
      const section = document.createElement("section");
      const heading = document.createElement("h3");
      heading.textContent = domain;
      const body = document.createElement("div");
      body.innerHTML = html;
      section.append(heading, body);
      answers.append(section);
    }
  });
})();

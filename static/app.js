// What a page can't do without scripts: copying, showing a typed secret, adding a scope, keeping a draft over a reload.
// Every page works without it, so what needs it is hidden until this runs.
"use strict";

const find = (selector) => document.querySelector(selector);

function reveal(root) {
  for (const element of root.querySelectorAll("[data-copy], [data-add], .show-secret")) element.hidden = false;
}

async function copy(button) {
  const field = find(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // plain http has no clipboard interface
  }
  const says = button.querySelector("span");
  says.textContent = "Copied";
  setTimeout(() => (says.textContent = "Copy"), 2000);
}

function addScope(button) {
  const field = find(button.dataset.to);
  const scopes = field.value.split(/\s+/).filter(Boolean);
  if (!scopes.includes(button.dataset.add)) field.value = [...scopes, button.dataset.add].join(" ");
  field.focus();
  keepDraft();
}

// The draft lives in this tab's history entry alone: no storage, no secret, gone when the tab is closed.
const NEVER_KEPT = ["csrf_token", "client_secret", "version", "revealed", "revealed_grant"];
let unrestored = Object.entries(history.state?.draft ?? {});

function keepDraft() {
  const form = find("form[data-keep-draft]");
  if (!form || unrestored.length) return;
  const draft = [...new FormData(form)].filter(([name]) => !NEVER_KEPT.includes(name));
  history.replaceState({ draft: { ...history.state?.draft, ...Object.fromEntries(draft) } }, "");
}

// A field that comes back, when a choice was taken back, holds again what had been typed into it.
const namesShown = () => new Set([...(find("form[data-keep-draft]")?.elements ?? [])].map((field) => field.name));
let shownBefore = namesShown();

function bringBack() {
  const typed = "input:not([type=radio], [type=hidden], [type=password], [readonly]), textarea:not([readonly])";
  const draft = history.state?.draft ?? {};
  const back = [...document.querySelectorAll("form[data-keep-draft] :is(input, textarea)")].filter(
    (field) => field.matches(typed) && !shownBefore.has(field.name) && !field.value && draft[field.name],
  );
  for (const field of back) field.value = draft[field.name];
  shownBefore = namesShown();
  back.find((field) => field.matches(".reveals"))?.dispatchEvent(new Event("input", { bubbles: true }));
}

// Put back what is shown; that may reveal more fields, whose arrival calls this again.
function restoreDraft() {
  const form = find("form[data-keep-draft]");
  if (!form || find("#summary")) unrestored = [];
  const shown = unrestored.filter(([name]) => form.elements[name]);
  unrestored = shown.length ? unrestored.filter((entry) => !shown.includes(entry)) : [];
  for (const [name, value] of shown) form.elements[name].value = value;
  const revealing = shown.length && form.querySelector("[name=provider]:checked");
  if (revealing) revealing.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-add]");
  if (button?.dataset.copy) copy(button);
  else if (button) addScope(button);
});
document.addEventListener("change", (event) => {
  if (event.target.dataset?.show) find(event.target.dataset.show).type = event.target.checked ? "text" : "password";
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches?.(".copy textarea")) event.target.select();
});
document.addEventListener("input", ({ target }) => {
  // What was wrong is being mended.
  target.closest(".field, .choices")?.querySelector(".wrong")?.remove();
  target.removeAttribute("aria-invalid");
  keepDraft();
});
document.addEventListener("htmx:after:swap", (event) => {
  reveal(document);
  for (const wrong of document.querySelectorAll("details .wrong")) wrong.closest("details").open = true;
  // After Save, the summary says what is wrong; once fields are revealed anew, it would be out of date.
  if (event.target.id === "fields" || event.detail?.ctx?.target?.id === "fields") find("#summary")?.remove();
  else find("#summary")?.focus();
  if (unrestored.length) restoreDraft();
  else {
    bringBack();
    keepDraft();
  }
});
reveal(document);
// htmx starts by a timer, too, set before this one: what is restored then reveals the rest.
setTimeout(restoreDraft);

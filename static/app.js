// What a page can't do without scripts: copying, showing a typed secret, adding a scope, finding a provider as one types,
// keeping a draft over a reload.
// Every page works without it, so what needs it is hidden until this runs.
"use strict";

const find = (selector) => document.querySelector(selector);

function reveal(root) {
  for (const element of root.querySelectorAll("[data-copy], [data-add], [data-filter], .show-secret")) element.hidden = false;
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
  const words = (button.dataset.says ??= says.textContent); // an answer that comes meanwhile forgets what is noted
  says.textContent = "Copied";
  setTimeout(() => (says.textContent = words), 2000);
}

function addScope(button) {
  const field = find(button.dataset.to);
  const scopes = field.value.split(/\s+/).filter(Boolean);
  if (!scopes.includes(button.dataset.add)) field.value = [...scopes, button.dataset.add].join(" ");
  field.focus();
  keepDraft();
}

// Show what holds every word that was typed. What is chosen, and what is always there, stays.
function filter(field) {
  const words = field.value.toLowerCase().split(/\s+/);
  for (const card of document.querySelectorAll(`${field.dataset.filter} label`)) {
    const fits = words.every((word) => card.textContent.toLowerCase().includes(word));
    card.hidden = !fits && !("always" in card.dataset) && !card.querySelector(":checked");
  }
}

// The draft lives in this tab's history entry alone: no storage, no secret, gone when the tab is closed. It is put back
// over the same version of a link only.
const NEVER_KEPT = ["csrf_token", "client_secret", "version", "revealed", "revealed_grant"];
const draftForm = () => find("form[data-keep-draft]");
const version = () => draftForm()?.elements.version?.value;
let unrestored = history.state?.version === version() && Array.isArray(history.state?.draft) ? history.state.draft : [];

function keepDraft() {
  const form = draftForm();
  if (!form || unrestored.length) return;
  const draft = [...new FormData(form)].filter(([name]) => !NEVER_KEPT.includes(name));
  typedFor[shownProvider] = { ...typedFor[shownProvider], ...Object.fromEntries(draft) };
  history.replaceState({ draft, version: version() }, "");
}

// When a choice is taken back, its fields hold again what they held for it; for another provider, what the server says.
const provider = () => draftForm()?.querySelector("[name=provider]:checked")?.value;
const fields = () =>
  [...(draftForm()?.elements ?? [])].filter((field) =>
    field.matches("select, textarea:not([readonly]), input:not([type=radio], [type=hidden], [type=password], [type=search], [readonly])"),
  );
const OF_EVERY_PROVIDER = ["name", "card", "client_id", "client_secret_ends"];
const typedFor = {};
let shownProvider, shownNames;

function noteShown() {
  shownProvider = provider();
  shownNames = new Set(fields().map((field) => field.name));
}

function bringBack() {
  const changed = provider() !== shownProvider;
  const typed = typedFor[provider()] ?? {};
  const before = shownNames;
  noteShown();
  const back = fields().filter(
    ({ name }) => (changed || !before.has(name)) && (changed || name in typed) && !OF_EVERY_PROVIDER.includes(name),
  );
  for (const field of back) {
    const sent = field.matches("select") ? (field.querySelector("[selected]") ?? field.options[0]).value : field.defaultValue;
    const due = typed[field.name] || sent;
    if (field.value !== due) field.value = due; // once set, a text area no longer follows what the server sends
  }
  if (back.some((field) => field.matches(".reveals") && field.name in typed)) {
    back[0].form.querySelector(".reveals:not([type=hidden])").dispatchEvent(new Event("input", { bubbles: true }));
  }
}

// Put back what is shown; that may reveal more fields, whose arrival calls this again.
function restoreDraft() {
  const form = draftForm();
  if (!form || find("#summary")) unrestored = [];
  const shown = unrestored.filter(([name]) => form.elements[name]);
  unrestored = shown.length ? unrestored.filter((entry) => !shown.includes(entry)) : [];
  const isTick = (field) => field.matches?.("[type=checkbox][name]");
  for (const tick of shown.length ? [...form.elements].filter(isTick) : [])
    tick.checked = shown.some(([name, value]) => name === tick.name && value === tick.value);
  for (const [name, value] of shown) if (!isTick(form.elements[name][0] ?? form.elements[name])) form.elements[name].value = value;
  const revealing = shown.length && form.querySelector("[name=provider]:checked");
  noteShown();
  if (revealing) revealing.dispatchEvent(new Event("input", { bubbles: true }));
}

// What makes something new each time is sent once, however often one clicks: the second answer would hide the first one's secret.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("once" in form.dataset)) return;
  if (form.dataset.once) event.preventDefault();
  form.dataset.once = "sent";
});
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
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.("[data-filter]")) event.preventDefault(); // it isn't Save
});
document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-filter]")) return filter(target);
  // What was wrong is being mended.
  target.closest(".field, .choices")?.querySelector(".wrong")?.remove();
  target.removeAttribute("aria-invalid");
  // An answer that is still on its way knows nothing of this choice, and would take it back.
  if (target.matches(".reveals")) find("[data-hx-trigger*='.reveals']")?.dispatchEvent(new Event("htmx:abort"));
  keepDraft();
});
document.addEventListener("htmx:after:swap", (event) => {
  reveal(document);
  document.querySelectorAll("[data-filter]").forEach(filter); // what has come shows every provider
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
noteShown();
// htmx starts by a timer, too, set before this one: what is restored then reveals the rest.
setTimeout(restoreDraft);

// What pages do beyond HTML and htmx: times in the reader's zone, copying, ticking all, marking fields that are wrong,
// following lists. Lists that are written as rows are in rows.js.
"use strict";
(function () {
  const minute = 60, hour = 60 * minute, day = 24 * hour;
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
  const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const anyDay = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

  function ago(date) {
    const seconds = (date - Date.now()) / 1000, size = Math.abs(seconds);
    if (size < minute) return relative.format(Math.round(seconds), "second");
    if (size < hour) return relative.format(Math.round(seconds / minute), "minute");
    if (size < day) return relative.format(Math.round(seconds / hour), "hour");
    if (size < 14 * day) return relative.format(Math.round(seconds / day), "day");
    return anyDay.format(date);
  }

  function showTimes(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const date = new Date(element.dateTime);
      if (isNaN(date)) continue;
      const today = date.toDateString() === new Date().toDateString();
      element.textContent = element.dataset.as === "ago" ? ago(date) : (today ? sameDay : anyDay).format(date);
    }
  }

  // Fields for a time hold UTC as they come and go, and show the reader's zone in between.
  function showZone() {
    for (const field of document.querySelectorAll("input[data-utc]")) {
      if (field.value) {
        const date = new Date(field.value + "Z"), shift = date.getTimezoneOffset() * minute * 1000;
        field.value = new Date(date - shift).toISOString().slice(0, 16);
      }
    }
    for (const label of document.querySelectorAll("[data-zone]")) label.textContent = "your time";
    for (const field of document.querySelectorAll("[data-zone-minutes]")) field.value = new Date().getTimezoneOffset();
  }

  // The server counts days, such as yesterday, in the reader's zone.
  function tellZone() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) document.cookie = "whisperer_zone=" + encodeURIComponent(zone) + "; path=/console/; max-age=31536000; samesite=lax" + (location.protocol === "https:" ? "; secure" : "");
  }

  function markWrong(root) {
    for (const slot of root.querySelectorAll("[data-slot]")) {
      const wrong = slot.textContent.trim() !== "";
      for (const field of document.querySelectorAll('[aria-describedby~="' + slot.id + '"]')) {
        if (wrong) field.setAttribute("aria-invalid", "true");
        else field.removeAttribute("aria-invalid");
      }
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  }

  // A list that is followed comes as its rows, whenever they changed. What stays as it is keeps its place and the focus.
  let source = null;
  function showRows(body, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = "<table><tbody>" + html + "</tbody></table>";
    showTimes(fresh.content);
    const rows = [...fresh.content.querySelectorAll("tr")], kept = new Set(rows.map((row) => row.id));
    for (const old of [...body.children]) if (!kept.has(old.id)) old.remove();
    let next = body.firstElementChild;
    for (const row of rows) {
      const old = document.getElementById(row.id);
      if (!old) {
        row.classList.add("fresh");
        body.insertBefore(row, next);
        continue;
      }
      if (old !== next) body.insertBefore(old, next);
      else next = next.nextElementSibling;
      if (old.innerHTML !== row.innerHTML && !old.contains(document.activeElement)) old.innerHTML = row.innerHTML;
    }
  }

  function follow(button) {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Following" : "Follow";
    if (source) source.close();
    source = null;
    if (!on) return;
    let opened = false;
    source = new EventSource(button.dataset.follow);
    source.addEventListener("open", () => { opened = true; });
    source.addEventListener("message", (event) => {
      const body = document.getElementById(button.dataset.into);
      if (body) showRows(body, event.data);
      else if (event.data) location.reload();
    });
    source.addEventListener("error", () => {
      if (!source || source.readyState !== EventSource.CLOSED) return;
      if (opened) location.reload(); // the session has ended
      else follow(button); // too many lists are followed: no more of this one
    });
  }

  // Lists are followed and figures looked up again by themselves, while somebody can see them.
  let paused = false;
  function watch() {
    const button = document.querySelector("[data-follow]");
    if (!button) return;
    const on = button.getAttribute("aria-pressed") === "true";
    if (document.hidden ? on : paused) follow(button);
    paused = document.hidden && on;
  }

  const seen = new WeakMap();
  async function lookAgain() {
    const parts = [...document.querySelectorAll("[data-live]")];
    if (!parts.length || document.hidden) return;
    const answer = await fetch(location.href).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (!fresh || page.querySelector("[data-pending]") && fresh.id === "counts" || part.contains(document.activeElement)) continue;
      if (seen.get(part) === fresh.innerHTML) continue;
      seen.set(part, fresh.innerHTML);
      part.innerHTML = fresh.innerHTML;
      showTimes(part);
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-follow]");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else follow(button);
  });
  document.addEventListener("click", (event) => {
    const step = event.target.closest("[data-open]");
    if (step) location.assign(step.dataset.open);
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter && event.submitter.closest("[data-busy]");
    if (button) setTimeout(() => { button.textContent = button.dataset.busy; button.disabled = true; });
  });
  document.addEventListener("formdata", (event) => {
    for (const field of event.target.querySelectorAll("input[data-utc]")) {
      const date = new Date(field.value);
      if (field.value && !isNaN(date)) event.formData.set(field.name, date.toISOString().slice(0, 16) + "Z");
    }
  });
  // What is typed beside a choice chooses it.
  document.addEventListener("input", (event) => {
    const choice = event.target.dataset.picks && document.getElementById(event.target.dataset.picks);
    if (choice && event.target.value) choice.checked = true;
  });
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-tick-all]");
    if (all) for (const box of all.form.querySelectorAll('input[name="' + all.dataset.tickAll + '"]')) box.checked = all.checked;
    if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  for (const [name, busy] of [["htmx:beforeRequest", true], ["htmx:afterRequest", false]]) {
    document.addEventListener(name, (event) => {
      const button = event.target.closest && event.target.closest("[data-busy]");
      if (!button) return;
      if (busy) button.dataset.label = button.textContent;
      button.textContent = busy ? button.dataset.busy : button.dataset.label;
    });
  }
  // What was ticked before the figures came stays ticked.
  let ticked = [];
  const boxes = () => [...document.querySelectorAll('#counts input[type="checkbox"]')];
  document.addEventListener("htmx:beforeSwap", () => { ticked = boxes().filter((box) => box.checked).map((box) => box.value); });
  document.addEventListener("htmx:afterSwap", () => { for (const box of boxes()) box.checked ||= ticked.includes(box.value); });
  document.addEventListener("htmx:afterRequest", (event) => { if (event.target.matches("[data-pending]")) event.target.remove(); });
  document.addEventListener("htmx:afterSettle", () => { showTimes(document); markWrong(document); });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    markWrong(document);
    if (event.target.id === "tried" && event.target.textContent.trim()) {
      event.target.scrollIntoView({ block: "nearest" });
      event.target.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const find = document.querySelector("[data-find]");
    if (!find || !(event.key === "/" && !typing && !event.ctrlKey && !event.metaKey || event.key === "k" && (event.ctrlKey || event.metaKey))) return;
    event.preventDefault();
    find.focus();
    find.select();
  });
  document.addEventListener("DOMContentLoaded", () => {
    showTimes(document);
    showZone();
    tellZone();
    for (const button of document.querySelectorAll("[data-follow]")) {
      button.hidden = false;
      if (document.hidden) paused = true;
      else follow(button);
    }
    for (const offer of document.querySelectorAll("[data-seconds]")) setTimeout(() => offer.remove(), offer.dataset.seconds * 1000);
    const here = new URL(location.href);
    if (here.searchParams.has("done")) { // what was done is said once, not after a reload
      here.searchParams.delete("done");
      here.searchParams.delete("n");
      history.replaceState(null, "", here);
    }
    const tab = document.querySelector(".tabs [aria-current]");
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 40;
    const menu = document.querySelector("details.menu"), narrow = matchMedia("(max-width: 800px)");
    if (!menu) return;
    const fold = () => { menu.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
  });
  document.addEventListener("visibilitychange", watch);
  setInterval(lookAgain, 5000);
  setInterval(() => showTimes(document), 30000);
})();

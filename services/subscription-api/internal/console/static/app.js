// What pages do beyond HTML and htmx: times in the reader's zone, copying, ticking all, marking fields that are wrong,
// following pages. Lists that are written as rows are in rows.js.
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

  // A page that shows what is going on comes as server-sent events, anew whenever it changed, while somebody can see it. Of it, the
  // parts with data-live are put in place of those that are shown. A part inside of another is a part of its own.
  const again = 5000;
  const seen = new WeakMap();
  let source = null, wanted = true, later = 0;
  const live = (root) => [...root.querySelectorAll("[data-live]")];

  // What the server has sent of a part, without the parts inside of it.
  function sent(part) {
    const copy = part.cloneNode(true);
    for (const inner of live(copy)) inner.replaceChildren();
    return copy.innerHTML;
  }

  function remember(root) {
    for (const part of live(root)) if (!seen.has(part)) seen.set(part, sent(part));
  }

  // What somebody is about to press, has ticked, unfolded or selected is left alone.
  function inUse(part) {
    const selection = getSelection();
    return part.contains(document.activeElement) || !selection.isCollapsed && part.contains(selection.anchorNode) ||
      part.querySelector("details[data-unfolded][open]") || [...part.querySelectorAll('input[type="checkbox"]')].some((box) => box.checked !== box.defaultChecked);
  }

  // What stays as it is in a table's rows keeps its place and the focus.
  function showRows(body, fresh) {
    showTimes(fresh);
    const rows = [...fresh.children], kept = new Set(rows.map((row) => row.id));
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

  function show(html) {
    const page = new DOMParser().parseFromString(html, "text/html"), counting = page.querySelector("[data-pending]");
    for (const part of live(document)) {
      const fresh = page.getElementById(part.id);
      if (!part.isConnected || !fresh || counting && part.id === "counts") continue;
      const now = sent(fresh);
      if (seen.get(part) === now || part.tagName !== "TBODY" && inUse(part)) continue;
      seen.set(part, now);
      remember(fresh);
      if (part.tagName === "TBODY") {
        showRows(part, fresh);
        continue;
      }
      showTimes(fresh);
      part.replaceChildren(...fresh.childNodes);
    }
  }

  function follow() {
    if (source) source.close();
    clearTimeout(later);
    source = null;
    if (!wanted || document.hidden || !document.querySelector("[data-followed] [data-live]")) return;
    const opened = source = new EventSource(location.href);
    opened.addEventListener("message", (event) => show(event.data));
    opened.addEventListener("error", () => {
      if (opened === source && opened.readyState === EventSource.CLOSED) later = setTimeout(lookAgain, again);
    });
  }

  // Where a page cannot be followed, because the server is away or too many are, it is asked for now and then.
  async function lookAgain() {
    const answer = await fetch(location.href).catch(() => null);
    if (answer && (answer.redirected || answer.status >= 400 && answer.status < 500 && answer.status !== 429)) location.reload();
    else if (answer && answer.ok) show(await answer.text());
    follow();
  }

  function toggle(button) {
    wanted = !wanted;
    button.setAttribute("aria-pressed", String(wanted));
    button.textContent = wanted ? "Following" : "Follow";
    follow();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-follow]");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else toggle(button);
  });
  document.addEventListener("click", (event) => {
    const step = event.target.closest("[data-open]");
    if (step) location.assign(step.dataset.open);
    const fold = event.target.closest("summary");
    if (fold) fold.parentElement.dataset.unfolded = "";
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
  document.addEventListener("htmx:afterSwap", () => {
    remember(document);
    for (const box of boxes()) box.checked ||= ticked.includes(box.value);
  });
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
    remember(document);
    showTimes(document);
    showZone();
    tellZone();
    for (const button of document.querySelectorAll("[data-follow]")) {
      button.hidden = false;
      button.setAttribute("aria-pressed", "true");
      button.textContent = "Following";
    }
    for (const offer of document.querySelectorAll("[data-seconds]")) setTimeout(() => offer.remove(), offer.dataset.seconds * 1000);
    const here = new URL(location.href);
    if (here.searchParams.has("done")) { // what was done is said once, not after a reload
      here.searchParams.delete("done");
      here.searchParams.delete("n");
      history.replaceState(null, "", here);
    }
    follow();
    const tab = document.querySelector(".tabs [aria-current]");
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 40;
    const menu = document.querySelector("details.menu"), narrow = matchMedia("(max-width: 1020px)");
    if (!menu) return;
    const fold = () => { menu.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
  });
  document.addEventListener("visibilitychange", follow);
  setInterval(() => showTimes(document), 30000);
})();

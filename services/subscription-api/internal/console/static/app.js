// What pages do beyond HTML and htmx: times in the reader's zone, copying, ticking all, marking fields that are wrong.
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

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-tick-all]");
    if (all) for (const box of all.form.querySelectorAll('input[name="' + all.dataset.tickAll + '"]')) box.checked = all.checked;
    if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  document.addEventListener("htmx:afterSettle", () => { showTimes(document); markWrong(document); });
  document.addEventListener("htmx:oobAfterSwap", () => markWrong(document));
  document.addEventListener("DOMContentLoaded", () => {
    showTimes(document);
    const menu = document.querySelector("details.menu"), narrow = matchMedia("(max-width: 800px)");
    if (!menu) return;
    const fold = () => { menu.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
  });
  setInterval(() => showTimes(document), 30000);
})();

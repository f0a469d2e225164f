// Text areas that hold a list or an object are also offered as rows of fields. The text stays what is sent: rows are read
// from it and written to it, and the text itself can be edited instead.
"use strict";
(function () {
  const kinds = {
    lines: {
      columns: [["Name", "X-Shop"], ["Value", "north"]], size: "two",
      read: (text) => text.trim().startsWith("{") ? Object.entries(JSON.parse(text)).map((row) => typeof row[1] === "string" ? row : null)
        : text.split("\n").filter((line) => line.trim()).map((line) => {
          const colon = line.indexOf(":");
          return colon < 0 ? null : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
        }),
      write: (rows) => rows.map((row) => row[0] + ": " + row[1]).join("\n"),
    },
    keys: {
      columns: [["Key", "channel_id"], ["Value, as text or JSON", "12"]], size: "two",
      read: (text) => {
        const object = text.trim() ? JSON.parse(text, exact) : {};
        if (object === null || typeof object !== "object" || Array.isArray(object)) return [null];
        return Object.entries(object).map(([name, value]) => [name, typeof value === "string" && !isJSON(value) ? value : JSON.stringify(value)]);
      },
      write: (rows) => rows.length ? "{\n" + rows.map(([name, value]) => "  " + JSON.stringify(name) + ": " + (isJSON(value) ? value : JSON.stringify(value))).join(",\n") + "\n}" : "",
    },
    windows: {
      columns: [["From", "22:00"], ["To", "02:00"], ["Days (all if empty)", "sat, sun"], ["Time zone (UTC if empty)", "Europe/Berlin"]], size: "four", first: true,
      read: (text) => (text.trim() ? JSON.parse(text) : []).map((w) => {
        const known = Object.keys(w).every((name) => ["start", "end", "days", "timezone"].includes(name));
        return known ? [w.start || "", w.end || "", (w.days || []).join(", "), w.timezone || ""] : null;
      }),
      write: (rows) => rows.length ? JSON.stringify(rows.map(([start, end, days, zone]) => {
        const w = { start, end };
        if (days.trim()) w.days = days.split(/[\s,]+/).filter(Boolean);
        if (zone.trim()) w.timezone = zone.trim();
        return w;
      }), null, 2) : "",
    },
  };

  function isJSON(text) {
    try { JSON.parse(text); return true; } catch { return false; }
  }

  // A number that JavaScript would change cannot be shown as a row without harm.
  function exact(name, value, context) {
    if (typeof value === "number" && context && context.source !== String(value)) throw new Error("number would be changed");
    return value;
  }

  function offer(area) {
    const kind = kinds[area.dataset.rows], box = document.createElement("div"), toggle = document.createElement("button");
    const name = document.querySelector('label[for="' + area.id + '"]').firstChild.textContent.trim();
    toggle.type = "button";
    toggle.className = "small plain modes";
    box.className = "rows";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", name);
    area.before(toggle, box);

    const write = () => {
      const rows = [...box.querySelectorAll(".item")].map((item) => [...item.querySelectorAll("input")].map((field) => field.value.trim()));
      area.value = kind.write(rows.filter((row) => row.some(Boolean)));
      area.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const add = (values) => {
      const item = document.createElement("div"), drop = document.createElement("button");
      item.className = "item " + kind.size;
      kind.columns.forEach(([text, example], i) => {
        const label = document.createElement("label"), field = document.createElement("input");
        label.textContent = text;
        field.value = values[i] || "";
        field.placeholder = example;
        field.spellcheck = false;
        field.setAttribute("aria-describedby", area.getAttribute("aria-describedby"));
        field.addEventListener("input", (event) => { event.stopPropagation(); write(); });
        label.append(field);
        item.append(label);
      });
      drop.type = "button";
      drop.className = "small";
      drop.textContent = "Remove";
      drop.setAttribute("aria-label", "Remove this row of " + name);
      drop.addEventListener("click", () => { item.remove(); write(); more.focus(); });
      item.append(drop);
      box.insertBefore(item, more);
      return item;
    };
    const more = document.createElement("button");
    more.type = "button";
    more.className = "small";
    more.textContent = "Add";
    more.setAttribute("aria-label", "Add a row to " + name);
    more.addEventListener("click", () => add([]).querySelector("input").focus());
    box.append(more);

    const show = (asRows) => {
      let rows = null;
      if (asRows) {
        try { rows = kind.read(area.value); } catch { rows = null; }
        if (rows && rows.includes(null)) rows = null;
      }
      for (const item of box.querySelectorAll(".item")) item.remove();
      if (rows) rows.forEach(add);
      box.hidden = !rows;
      area.hidden = !!rows;
      toggle.textContent = rows ? "Edit as text" : "Edit as rows";
      toggle.setAttribute("aria-label", toggle.textContent + ": " + name);
    };
    toggle.addEventListener("click", () => show(box.hidden));
    show(kind.first || area.value.trim() !== ""); // one that is empty is soonest pasted into
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const area of document.querySelectorAll("textarea[data-rows]")) offer(area);
  });
})();

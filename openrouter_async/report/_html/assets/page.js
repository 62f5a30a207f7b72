"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 50, PRINTED = 500, NAMELESS = "(no name)";
  const SHORT = new Map([["daily", "day"], ["weekly", "week"], ["monthly", "month"]]);

  // Records

  const keys = data.keys.map((row) => {
    const [name, hash, label, workspace, creator, fullness, age, use, state, limit, spent, reset,
      daily, weekly, monthly, ever, byokDaily, byokWeekly, byokMonthly, byokEver,
      created, updated, used, expires, external, counted] = row;
    const key = {
      name, hash, label, workspace, creator, fullness, age, use, state, limit, spent, reset: data.words[reset],
      daily, weekly, monthly, ever, byokDaily, byokWeekly, byokMonthly, byokEver,
      created, updated, used, expires, external: data.words[external], counted, worst: -1, findings: [],
    };
    key.share = limit && spent !== null ? spent / limit : null;
    key.states = data.states.filter((_, bit) => state & (1 << bit)).join(", ");
    const told = [name, hash, label, data.facets[0].choices[workspace], data.facets[1].choices[creator], key.external];
    key.words = told.join("\n").toLowerCase();
    return key;
  });
  const byHash = new Map(keys.map((key) => [key.hash, key]));
  const findings = data.findings.map(([rule, severity, place, sentence, name, hash, workspace], order) => {
    const key = keys[place];
    const finding = {
      order, rule: data.rules[rule], severity, key, sentence: data.sentences[sentence],
      name: key ? key.name || NAMELESS : name || hash || "", workspace: key ? data.facets[0].choices[key.workspace] : workspace,
    };
    finding.words = [finding.rule, finding.sentence, finding.workspace, finding.name, key ? key.hash : hash].join("\n").toLowerCase();
    if (key) {
      key.findings.push(finding);
      key.worst = Math.max(key.worst, severity);
    }
    return finding;
  });

  // Values as people read them

  const cents = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
  const whole = new Intl.NumberFormat("en-US");
  const usd = (amount) => amount === null ? "-" : amount && Math.abs(amount) < 0.005 ? (amount > 0 ? "<$0.01" : ">-$0.01") : cents.format(amount);
  const day = (seconds) => seconds === null ? "-" : new Date(seconds * 1000).toISOString().slice(0, 10);
  const minute = (seconds) => seconds === null ? "-" : `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const ago = (seconds) => {
    if (seconds === null) return "never";
    const span = Math.abs(data.now - seconds);
    const text = span < 3600 ? `${Math.floor(span / 60)} min` : span < 86400 ? `${Math.floor(span / 3600)} h` : `${whole.format(Math.floor(span / 86400))} d`;
    return seconds <= data.now ? `${text} ago` : `in ${text}`;
  };
  const percent = (key) => key.share === null ? (key.limit === 0 ? "full" : "-") : `${whole.format(Math.floor(100 * key.share + 1e-9))}%`;
  const lastUse = (key) => key.used === null && (key.ever > 0 || key.byokEver > 0) ? "not recorded" : ago(key.used);
  const limit = (key) => key.limit === null ? "none" : usd(key.limit).replace(/\.00$/, "") + (key.reset ? `/${SHORT.get(key.reset) || key.reset}` : "");

  // Elements; text is only ever set as text

  const make = (tag, settings = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), settings);
    element.append(...children);
    return element;
  };
  const badge = (rank) => rank < 0 ? "" : make("span", { className: `badge ${data.severities[rank]}` }, data.severities[rank]);
  const keyLink = (key) => {
    const link = make("button", { type: "button", className: "link", title: key.name }, key.name || NAMELESS);
    link.addEventListener("click", () => showKey(key));
    return link;
  };
  const meter = (key) => {
    const box = make("div", { className: "used" });
    if (key.share !== null) {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("aria-hidden", "true");
      const kind = key.share > 1 ? "critical" : key.share >= 0.9 ? "warning" : "keys";
      for (const [name, share] of [["track", 1], [kind, Math.max(0, Math.min(1, key.share))]]) {
        const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        for (const [attribute, value] of [["class", name], ["width", `${100 * share}%`], ["height", "100%"], ["rx", "3"]]) part.setAttribute(attribute, value);
        svg.append(part);
      }
      box.append(svg);
    }
    box.append(make("span", {}, percent(key)));
    return box;
  };

  // Lists that are filtered, sorted and paged; only the rows of a page are in the document

  class Sheet {
    constructor(name, rows, columns, filters) {
      filters = filters.map((filter) => ({ ...filter }));
      Object.assign(this, { noun: name, rows, columns, filters, shown: rows, page: 0, sorted: null, falling: false });
      this.box = document.getElementById(`${name}-sheet`);
      this.body = this.box.querySelector("tbody");
      this.status = this.box.querySelector("[role=status]");
      this.steps = [...this.box.querySelectorAll(".step")];
      for (const step of this.steps) step.addEventListener("click", () => this.turn(Number(step.dataset.step)));
      this.box.querySelector("thead").append(make("tr", {}, ...columns.map((column) => this.heading(column))));
      this.form = this.box.querySelector("form");
      this.form.append(...filters.map((filter) => this.field(filter)));
      const reset = make("button", { type: "reset", className: "reset" }, "Clear");
      this.form.append(reset);
      this.form.addEventListener("input", () => this.filter());
      this.form.addEventListener("reset", () => setTimeout(() => this.filter()));
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.box.hidden = false;
      this.filter();
    }

    heading(column) {
      const button = make("button", { type: "button" }, column.title);
      button.addEventListener("click", () => this.sort(column));
      column.head = make("th", { scope: "col", className: column.kind || "" }, button);
      column.head.style.width = column.width;
      return column.head;
    }

    field(filter) {
      filter.input = filter.choices
        ? make("select", { name: filter.name }, make("option", { value: "" }, "all"),
          ...filter.choices.map((choice, place) => make("option", { value: String(place) }, choice)))
        : make("input", { type: "search", name: filter.name, autocomplete: "off", spellcheck: false });
      return make("label", { className: filter.choices ? "" : "search" }, filter.title, filter.input);
    }

    set(values) {
      for (const filter of this.filters) filter.input.value = values[filter.name] ?? "";
      this.filter();
      const section = this.box.parentElement;
      section.scrollIntoView();
      section.focus({ preventScroll: true });
    }

    filter() {
      const tests = this.filters.filter(({ input }) => input.value.trim() !== "").map(({ input, test, choices }) => {
        const wanted = choices ? Number(input.value) : input.value.toLowerCase().trim();
        return (row) => test(row, wanted);
      });
      this.shown = this.rows.filter((row) => tests.every((test) => test(row)));
      if (this.sorted) this.order();
      this.page = 0;
      this.draw();
    }

    sort(column) {
      this.falling = this.sorted === column ? !this.falling : Boolean(column.falling);
      this.sorted = column;
      for (const { head } of this.columns) head.removeAttribute("aria-sort");
      column.head.setAttribute("aria-sort", this.falling ? "descending" : "ascending");
      this.order();
      this.page = 0;
      this.draw();
    }

    order() {
      const { value } = this.sorted, sign = this.falling ? -1 : 1;
      const known = [], unknown = [];
      for (const row of this.shown) {
        const found = value(row);
        if (found === null || found === "") unknown.push(row);
        else known.push([typeof found === "string" ? found.toLowerCase() : found, row]);
      }
      known.sort(([left], [right]) => sign * (left < right ? -1 : left > right ? 1 : 0));
      this.shown = [...known.map(([, row]) => row), ...unknown];
    }

    turn(step) {
      this.page += step;
      this.draw();
      this.box.scrollIntoView();
    }

    draw(first = this.page * PAGE, size = PAGE) {
      const rows = this.shown.slice(first, first + size);
      this.body.replaceChildren(...rows.map((row) => make("tr", {}, ...this.columns.map((column) => {
        const cell = make(column.heads ? "th" : "td", { className: column.kind || "" });
        if (column.heads) cell.scope = "row";
        cell.append(...[column.show(row)].flat());
        return cell;
      }))));
      const total = this.shown.length;
      const noun = total === 1 ? this.noun.replace(/s$/, "") : this.noun;
      const range = total > rows.length ? `${whole.format(first + 1)} to ${whole.format(first + rows.length)} of ` : "";
      const from = total < this.rows.length ? `, filtered from ${whole.format(this.rows.length)}` : "";
      this.status.textContent = `${range}${total ? whole.format(total) : "no"} ${noun}${from}`;
      const last = Math.max(0, Math.ceil(total / PAGE) - 1);
      this.steps[0].disabled = this.page <= 0;
      this.steps[1].disabled = this.page >= last;
    }
  }

  const under = (text) => make("div", { className: "under" }, text);
  const search = { name: "search", title: "Search", test: (row, wanted) => row.words.includes(wanted) };
  const facet = ({ name, title, choices }) => ({ name, title, choices, test: (key, wanted) => key[name] === wanted });
  const amount = (title, name, kind, width) => ({ title, kind: `number ${kind}`, width, falling: true, value: (key) => key[name], show: (key) => usd(key[name]) });
  const [workspace, creator, ...others] = data.facets.map(facet);

  const keySheet = new Sheet("keys", keys, [
    { title: "Worst", kind: "most", width: "5.25rem", falling: true, value: (key) => key.worst < 0 ? null : key.worst, show: (key) => badge(key.worst) },
    { title: "Name", kind: "name", heads: true, width: "auto", value: (key) => key.name,
      show: (key) => [keyLink(key), under([data.severities[key.worst], key.states].filter(Boolean).join(" · "))] },
    { title: "Workspace", kind: "mid", width: "8rem", value: (key) => workspace.choices[key.workspace], show: (key) => workspace.choices[key.workspace] },
    { title: "State", kind: "mid", width: "6rem", value: (key) => key.states, show: (key) => key.states },
    { title: "Limit", kind: "number most", width: "7rem", falling: true, value: (key) => key.limit, show: limit },
    { title: "Used", kind: "number", width: "6.5rem", falling: true, value: (key) => key.share, show: meter },
    amount("Today", "daily", "wide", "5.5rem"),
    amount("Month", "monthly", "", "5.5rem"),
    amount("Ever", "ever", "extra", "6rem"),
    { title: "Created", kind: "number extra", width: "6rem", falling: true, value: (key) => key.created, show: (key) => day(key.created) },
    { title: "Last used", kind: "number mid", width: "5.5rem", falling: true, value: (key) => key.used, show: lastUse },
    { title: "Expires", kind: "number wide", width: "6rem", value: (key) => key.expires, show: (key) => day(key.expires) },
  ], [
    search, workspace, creator,
    { name: "state", title: "State", choices: data.states, test: (key, wanted) => Boolean(key.state & (1 << wanted)) },
    { name: "worst", title: "Worst finding", choices: [...data.severities, "none"], test: (key, wanted) => key.worst === (wanted < data.severities.length ? wanted : -1) },
    ...others,
  ]);

  const findingSheet = new Sheet("findings", findings, [
    { title: "Severity", kind: "most", width: "5.75rem", falling: true, value: (each) => each.severity, show: (each) => badge(each.severity) },
    { title: "Rule", kind: "most", width: "9.5rem", value: (each) => each.rule, show: (each) => each.rule },
    { title: "Key", kind: "name", width: "28%", heads: true, value: (each) => each.name,
      show: (each) => [each.key ? keyLink(each.key) : each.name || "-", under(`${data.severities[each.severity]} · ${each.rule}`)] },
    { title: "Workspace", kind: "mid", width: "9rem", value: (each) => each.workspace, show: (each) => each.workspace },
    { title: "What", kind: "sentence", width: "auto", value: (each) => each.sentence, show: (each) => each.sentence },
  ], [
    search,
    { name: "severity", title: "Severity", choices: data.severities, test: (each, wanted) => each.severity === wanted },
    { name: "rule", title: "Rule", choices: data.rules, test: (each, wanted) => each.rule === data.rules[wanted] },
    { name: "workspace", title: "Workspace", choices: workspace.choices, test: (each, wanted) => each.workspace === workspace.choices[wanted] },
  ]);

  // One key

  const detail = document.getElementById("detail");
  const showKey = (key) => {
    const facts = {
      hash: key.hash, label: key.label, state: key.states,
      workspace: workspace.choices[key.workspace], creator: creator.choices[key.creator], "external user": key.external,
      limit: limit(key) + (key.share === null ? "" : `; ${usd(key.spent)} spent (${percent(key)}), ${usd(key.limit - key.spent)} left`),
      usage: `${usd(key.daily)} today, ${usd(key.weekly)} this week, ${usd(key.monthly)} this month, ${usd(key.ever)} ever`,
      BYOK: `${usd(key.byokDaily)} today, ${usd(key.byokWeekly)} this week, ${usd(key.byokMonthly)} this month, ${usd(key.byokEver)} ever; ${key.counted ? "counts" : "does not count"} toward the limit`,
      created: `${minute(key.created)} (${ago(key.created)})`, updated: minute(key.updated),
      "last used": key.used === null ? lastUse(key) : `${minute(key.used)} (${ago(key.used)})`,
      expires: key.expires === null ? "never" : `${minute(key.expires)} (${ago(key.expires)})`,
    };
    detail.querySelector("h2").textContent = key.name || NAMELESS;
    detail.querySelector("dl").replaceChildren(...Object.entries(facts).filter(([, fact]) => fact && fact !== "-")
      .flatMap(([title, fact]) => [make("dt", {}, title), make("dd", {}, fact)]));
    detail.querySelector("ul").replaceChildren(...key.findings.map((each) => make("li", {}, badge(each.severity), ` ${each.rule}: ${each.sentence}`)));
    detail.querySelector("h3").hidden = !key.findings.length;
    detail.showModal();
    detail.scrollTop = 0;
  };
  detail.querySelector(".close").addEventListener("click", () => detail.close());
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });

  // From the charts and rules to the lists

  for (const link of document.querySelectorAll("[data-facet]")) {
    const { facet: name, choice } = link.dataset;
    link.addEventListener("click", () => name === "key" ? byHash.has(choice) && showKey(byHash.get(choice)) : keySheet.set({ [name]: choice }));
  }
  for (const link of document.querySelectorAll("[data-rule]")) {
    const { rule, severity } = link.dataset;
    link.addEventListener("click", () => findingSheet.set({ rule: String(data.rules.indexOf(rule)), severity: String(data.severities.indexOf(severity)) }));
  }

  // On paper: what the filters leave, from the beginning, and how much that is

  addEventListener("beforeprint", () => { for (const sheet of [findingSheet, keySheet]) sheet.draw(0, PRINTED); });
  addEventListener("afterprint", () => { for (const sheet of [findingSheet, keySheet]) sheet.draw(); });
})();

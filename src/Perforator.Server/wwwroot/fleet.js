// All services: is each one's profile fit to build with?
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { html, link, keep, useApi, Answer, Name, State, Spark, age, number, percent, count } from "./parts.js";

const worst = { none: 0, stale: 1, thin: 2, biased: 3, good: 4 };
const columns = [
  ["service", "Service", s => s.service], ["state", "State", s => worst[s.state]], ["age", "Age", s => -new Date(s.lastSeen)], ["ratio", "Ratio", s => s.ratio ?? -1],
  ["convergence", "Convergence", s => s.convergence ?? -1], ["coverage", "Hot coverage", s => s.hotCoverage ?? -1], ["builds", "Builds", s => s.builds],
  ["hosts", "Hosts", s => s.hosts], ["trend", "30 days", s => s.trend.reduce((a, b) => a + b, 0)],
];
const Step = 30;

export function Fleet({ query }) {
  return html`<h1>Is every service’s profile fit to build with?</h1>
    <${Answer} of=${useApi("overview")}>${fleet => fleet.services.length === 0 ? html`<${Empty} />` : html`<${Services} fleet=${fleet} query=${query} />`}<//>`;
}

const Empty = () => html`<div class="empty"><p>No service has sent a profile yet. On each host, start the agent; soon after, fetch a profile:</p>
  <pre tabindex="0">perforator agent --server ${document.baseURI.split("#")[0]}
perforator pgo SERVICE --server ${document.baseURI.split("#")[0]}</pre></div>`;

function Services({ fleet, query }) {
  const [limit, setLimit] = useState(Step);
  const end = useRef();
  const sort = columns.find(([key]) => key === query.sort) || columns[1];
  const rows = useMemo(() => {
    const text = (query.q || "").toLowerCase(), turn = query.down ? -1 : 1;
    return fleet.services.filter(s => (!query.state || s.state === query.state) && (!text || s.service.toLowerCase().includes(text) || s.reasons[0].toLowerCase().includes(text)))
      .map(s => [sort[2](s), s]).sort(([a, s], [b, t]) => turn * (a < b ? -1 : a > b ? 1 : 0) || (s.service < t.service ? -1 : 1)).map(([, s]) => s);
  }, [fleet, query.q, query.state, query.sort, query.down]);
  useEffect(() => {
    const seen = new IntersectionObserver(([entry]) => entry.isIntersecting && setLimit(n => n + Step), { rootMargin: "300px" });
    if (end.current) seen.observe(end.current);
    return () => seen.disconnect();
  }, [rows, limit]);
  return html`<ul class="counts" aria-label="Services by state">${["", "good", "biased", "thin", "stale", "none"].map(state => html`<li>
      <a href=${link([], { ...query, state })} aria-current=${(query.state || "") === state ? "true" : undefined}>
        <span class="state ${state}">${state ? fleet.counts[state] : fleet.services.length}</span> ${state || "all"}</a></li>`)}</ul>
    <div class="tools"><label>Filter by name or reason <input type="search" value=${query.q || ""} onInput=${e => keep({ q: e.target.value })} /></label>
      <span class="dim" role="status">${rows.length} of ${fleet.services.length} services</span></div>
    ${rows.length === 0 ? html`<p class="empty">No service matches. <a href="#/">Show all</a>.</p>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Services"><table aria-rowcount=${rows.length + 1}><thead><tr>${columns.map(([key, title], i) => html`
      <th scope="col" class=${i >= 2 && i <= 7 ? "number" : ""} aria-sort=${sort[0] === key ? query.down ? "descending" : "ascending" : undefined}>
        <button onClick=${() => keep({ sort: key, down: sort[0] === key && !query.down ? "1" : "" })}>${title}${sort[0] === key ? query.down ? " ▾" : " ▴" : ""}</button></th>`)}
      <th scope="col">Why</th></tr></thead>
      <tbody>${rows.slice(0, limit).map(s => html`<tr key=${s.service}><td><a href=${link(["service", s.service])}><${Name} text=${s.service} /></a></td>
        <td><${State} state=${s.state} /></td><td class="number">${age(s.lastSeen)}</td>
        <td class="number">${number(s.ratio)} <span class="dim">of ${number(s.ratioThreshold, 1)}</span></td><td class="number">${number(s.convergence)}</td>
        <td class="number">${percent(s.hotCoverage)}</td><td class="number">${s.builds}</td><td class="number">${s.hosts}</td><td><${Spark} values=${s.trend} /></td>
        <td class="reason">${s.reasons[0]}</td></tr>`)}</tbody></table></div>
    ${limit < rows.length && html`<p ref=${end}><button onClick=${() => setLimit(limit + Step)}>Show more</button> ${limit} of ${count(rows.length)}</p>`}`}`;
}

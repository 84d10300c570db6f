// The hosts that have an agent.
import { html, link, keep, useApi, Answer, Name, Table, State, age, count, percent } from "./parts.js";

const megabytes = bytes => Math.round(bytes / 1e6) + " MB";

export function Agents({ query }) {
  return html`<h1>Agents</h1><p class="dim">Hosts that sent profiles or asked what to record in the last 30 days.</p>
    <${Answer} of=${useApi("agents")}>${agents => agents.length === 0
      ? html`<div class="empty"><p>No host has sent anything in 30 days. On each host:</p><pre tabindex="0">perforator agent --server ${document.baseURI.split("#")[0]}</pre></div>`
      : html`<${Hosts} agents=${agents} query=${query} />`}<//>`;
}

function Hosts({ agents, query }) {
  const states = ["ok", "dropping", "over budget", "silent"];
  const shown = agents.filter(a => a.host.includes(query.q || "") && (!query.state || a.state === query.state));
  const said = (a, show) => a.report ? show(a.report) : "not said";
  return html`<ul class="counts" aria-label="Agents by state">${["", ...states].map(state => html`<li>
      <a href=${link(["agents"], { ...query, state })} aria-current=${(query.state || "") === state ? "true" : undefined}>
        <span class="state ${state.replace(" ", "-")}">${state ? agents.filter(a => a.state === state).length : agents.length}</span> ${state || "all"}</a></li>`)}</ul>
    <div class="tools"><label>Filter by host <input type="search" value=${query.q || ""} onInput=${e => keep({ q: e.target.value })} /></label></div>
    ${shown.length > 1000 && html`<p class="dim">The first 1,000 of ${shown.length}; filter for others.</p>`}
    <${Table} name="Agents" none="No host matches." rows=${shown.slice(0, 1000)} columns=${[
      ["Host", a => html`<${Name} text=${a.host} />`], ["State", a => html`<${State} state=${a.state} /> ${a.report?.notice && html`<${Name} text=${a.report.notice} />`}`],
      ["Last seen", a => age(a.lastSeen)], ["Version", a => said(a, r => html`<${Name} text=${r.version.split("+")[0]} />`)],
      ["Source", a => html`<${Name} text=${a.source || "not said"} />`], ["CPU", a => html`<${Name} text=${a.cpu || "not said"} />`],
      ["CPU time of budget", a => said(a, r => `${percent(r.cpuShare)} of ${percent(r.cpuBudget)}`), 1],
      ["Memory of budget", a => said(a, r => `${megabytes(r.memoryBytes)} of ${megabytes(r.memoryBudget)}`), 1],
      ["Waiting", a => said(a, r => count(r.waitingProfiles)), 1], ["Dropped", a => said(a, r => count(r.droppedProfiles)), 1],
      ["Branch stacks", a => count(a.samples), 1], ["Services", a => a.services.map(s => html`<a href=${link(["service", s])}><${Name} text=${s} /></a> `)]]} />`;
}

// The hosts that send.
import { html, link, keep, useApi, Answer, Name, Table, age, count } from "./parts.js";

export function Agents({ query }) {
  return html`<h1>Agents</h1><p class="dim">Hosts that sent profiles in the last 30 days, as their uploads tell.</p>
    <${Answer} of=${useApi("agents")}>${agents => agents.length === 0
      ? html`<div class="empty"><p>No host has sent anything in 30 days. On each host:</p><pre tabindex="0">perforator agent --server ${document.baseURI.split("#")[0]}</pre></div>`
      : html`<div class="tools"><label>Filter by host <input type="search" value=${query.q || ""} onInput=${e => keep({ q: e.target.value })} /></label></div>
        <${Table} name="Agents" none="No host matches." rows=${agents.filter(a => a.host.includes(query.q || "")).slice(0, 1000)} columns=${[["Host", a => html`<${Name} text=${a.host} />`], ["Last seen", a => age(a.lastSeen)],
          ["Source", a => html`<${Name} text=${a.source || "not said"} />`], ["CPU", a => html`<${Name} text=${a.cpu || "not said"} />`], ["Branch stacks", a => count(a.samples), 1],
          ["Services", a => a.services.map(s => html`<a href=${link(["service", s])}><${Name} text=${s} /></a> `)]]} />`}<//>`;
}

// The profiles that were generated of a service.
import { html, link, useApi, Answer, Name, Table, ServiceHead, age, day, number } from "./parts.js";
import { service as path, query as ask, download } from "./api.js";

export function History({ path: [, service], query }) {
  return html`<${ServiceHead} service=${service} view="history" />
    <${Answer} of=${useApi(ask(path(service, "/history"), { limit: 50, before: query.before }))}>${page => page.entries.length === 0
      ? html`<div class="empty"><p>No profile has been generated yet.</p><pre tabindex="0">perforator pgo ${service}</pre></div>`
      : html`<${Table} name="Generated profiles" rows=${page.entries} columns=${[["Profile", e => html`<a href=${link(["profile", service, e.profile])}><code>${e.profile.slice(0, 16)}</code></a>`], ["Generated", e => day(e.generated)],
        ["Of", e => html`<${Name} text=${e.selector} />`], ["Ratio", e => html`<span class=${e.ratio >= 1 ? "good" : "thin"}>${number(e.ratio)} ${e.ratio >= 1 ? "enough" : "too thin"}</span>`, 1], ["Uploads", e => e.uploads, 1], ["Builds", e => e.builds.length, 1],
        ["Gates", e => html`<${Gates} asked=${e.asked} />`], ["Asked by", e => html`<${Askers} asked=${e.asked} />`],
        ["Names", e => e.names.map(name => html`<${Name} text=${name} /> `)], ["Report", e => html`<a href=${link(["history", service], { before: query.before, report: query.report === e.profile ? "" : e.profile })} aria-current=${query.report === e.profile ? "true" : undefined}>Report</a>`],
        ["Save", e => html`<button onClick=${() => download(e.profile, `${service}.${e.profile.slice(0, 16)}.afdo`)} aria-label=${"Download profile " + e.profile.slice(0, 16)}>Download</button>`],
        ["Change", e => html`<a href=${link(["compare", service], { from: e.profile, to: page.entries[0].profile })}>Compare with the latest</a>`]]} />
        ${query.report && html`<h2>Report of <code>${query.report.slice(0, 16)}</code></h2><${Report} service=${service} hash=${query.report} />`}
        ${page.before && html`<p><a href=${link(["history", service], { before: page.before })}>Older ones</a></p>`}`}<//>`;
}

/** Whether the profile is as those who asked for it wanted it. */
function Gates({ asked }) {
  const gated = asked.filter(a => a.gates), failed = gated.filter(a => a.unmet.length > 0);
  if (gated.length === 0) return html`<span class="dim">none given</span>`;
  if (failed.length === 0) return html`<span class="good">passed</span>`;
  return html`<details><summary class="thin">${failed.length} of ${gated.length} refused</summary>${failed.map(a => html`<p><${Name} text=${a.who} />: ${a.unmet.map(reason => html`<${Name} text=${reason} /> `)}</p>`)}</details>`;
}

function Askers({ asked }) {
  if (asked.length === 0) return html`<span class="dim">nobody since</span>`;
  const one = a => html`<${Name} text=${a.who} />, ${age(a.when)} ago`;
  return asked.length === 1 ? one(asked[0]) : html`<details><summary>${one(asked[0])} and ${asked.length - 1} more</summary>${asked.slice(1).map(a => html`<p>${one(a)}</p>`)}</details>`;
}

function Report({ service, hash }) {
  return html`<${Answer} of=${useApi(path(service, "/pgo/" + encodeURIComponent(hash)))}>${pgo => html`<pre tabindex="0">${pgo.reportText}</pre>`}<//>`;
}

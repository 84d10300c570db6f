// What is in a generated profile.
import { html, link, keep, useApi, Answer, Name, Table, ServiceHead, Bar, count } from "./parts.js";
import { service as path, query as ask } from "./api.js";
import { Flame } from "./flame.js";

export function Profile({ path: [, service, hash, id], query }) {
  // Without a hash: the current profile, generated if it is not yet.
  const current = useApi(hash ? null : path(service, "/pgo"));
  return html`<${ServiceHead} service=${service} view="profile" />${hash
    ? id ? html`<${Function} service=${service} hash=${hash} id=${id} query=${query} />` : html`<${Whole} service=${service} hash=${hash} query=${query} />`
    : html`<${Answer} of=${current}>${pgo => html`<p>The current profile: <a href=${link(["profile", service, pgo.profile])}><code>${pgo.profile.slice(0, 16)}</code></a></p><${Whole} service=${service} hash=${pgo.profile} query=${query} />`}<//>`}`;
}

function Whole({ service, hash, query }) {
  const at = path(service, "/pgo/" + encodeURIComponent(hash));
  const functions = useApi(ask(at + "/functions", { q: query.q, sort: query.sort, offset: query.offset, limit: 50 }));
  const offset = Number(query.offset || 0);
  return html`<h2>Hot functions</h2>
    <div class="tools"><label>Search names <input type="search" value=${query.q || ""} onInput=${e => keep({ q: e.target.value, offset: "" })} /></label>
      <label>Sort by <select value=${query.sort || "samples"} onChange=${e => keep({ sort: e.target.value, offset: "" })}><option value="samples">samples</option><option value="head">head samples</option><option value="name">name</option></select></label></div>
    <${Answer} of=${functions}>${page => html`<p class="dim" role="status">${page.matched} of ${page.totalFunctions} functions</p>
      <${Table} name="Functions" none="No function has this in its name." rows=${page.functions} columns=${[["Function", f => html`<a href=${link(["profile", service, hash, f.id])}><${Name} text=${f.name} /></a>`],
        ["Samples", f => count(f.samples), 1], ["Share", f => html`<${Bar} share=${f.samples / page.totalSamples} />`], ["Head samples", f => count(f.headSamples), 1], ["Inlined into", f => f.inlinedInto, 1], ["Call targets", f => f.callTargets, 1]]} />
      <p class="tools">${offset > 0 && html`<button onClick=${() => keep({ offset: String(Math.max(0, offset - 50)) })}>Back</button>`}
        ${offset + 50 < page.matched && html`<button onClick=${() => keep({ offset: String(offset + 50) })}>Next 50</button>`}</p>`}<//>
    <h2>Inlining and calls</h2><${Answer} of=${useApi(at + "/tree")}>${tree => html`<${Flame} tree=${tree} query=${query} />`}<//>`;
}

const MostLines = 200;

function Function({ service, hash, id, query }) {
  const related = list => ({ name: "Functions", none: "None.", rows: list, columns: [["Function", f => html`<a href=${link(["profile", service, hash, f.id])}><${Name} text=${f.name} /></a>`], ["Samples or calls", f => count(f.samples), 1]] });
  return html`<p><a href=${link(["profile", service, hash])}>All functions of the profile</a></p>
    <${Answer} of=${useApi(path(service, `/pgo/${encodeURIComponent(hash)}/functions/${encodeURIComponent(id)}`))}>${f => {
      const most = Math.max(...f.lines.filter(l => !l.inlined).map(l => l.samples), 1);
      return html`<h2><${Name} text=${f.function.name} most=${1000} /></h2><p>${count(f.function.samples)} samples, entered ${count(f.function.headSamples)} times.${f.source && html` It begins at <${Source} of=${f.source} whole />.`}</p>
      <h2>Lines</h2><p class="dim">${f.byProbes ? "By number of the pseudo probe in the function, or in the one inlined." : "Counted from the line where the function, or the one inlined, begins."}
        ${f.source ? "" : " The server has no binary with debug info that tells where these are in source."}</p>
      <${Table} name="Lines" rows=${query.lines ? f.lines : f.lines.slice(0, MostLines)} columns=${[["Line", l => html`<code>${"\u00a0\u00a0".repeat(Math.min(l.depth, 12))}${f.byProbes ? "probe " : "+"}${l.line}${l.discriminator ? "." + l.discriminator : ""}</code>`, 0],
        ...(f.source ? [["In", l => l.source && html`<${Source} of=${l.source} />`]] : []), ...(f.lines.some(l => l.source?.text) ? [["Source", l => html`<code class="source">${l.source?.text}</code>`]] : []),
        ["Samples", l => count(l.samples), 1], ["Part", l => l.inlined ? "" : html`<span class="bar" aria-hidden="true" style=${{ width: Math.round(90 * l.samples / most) + "px" }} />`],
        ["What", l => l.inlined ? html`inlined: <${Name} text=${l.inlined} />` : l.calls.map(c => html`<span>calls <${Name} text=${c.name} /> ${count(c.samples)} times </span>`)]]} />
      ${!query.lines && f.lines.length > MostLines && html`<p><a href=${link(["profile", service, hash, id], { lines: "all" })}>All ${f.lines.length} lines</a></p>`}
      <div class="columns"><section><h2>Inlined into</h2><${Table} ...${related(f.inlinedInto)} /></section><section><h2>Callers</h2><${Table} ...${related(f.callers)} /></section><section><h2>Call targets</h2><${Table} ...${related(f.callees)} /></section></div>`;
    }}<//>`;
}

/** A place in source, as a link where the server knows one. */
function Source({ of, whole }) {
  const name = html`<${Name} text=${(whole ? of.file : of.file.slice(of.file.lastIndexOf("/") + 1)) + ":" + of.line} />`;
  return of.url ? html`<a href=${of.url} rel="noreferrer">${name}</a>` : html`<span title=${of.file}>${name}</span>`;
}

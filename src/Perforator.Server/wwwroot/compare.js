// Two profiles of a service: of two builds, two times or two selectors, or two that are kept.
import { html, link, keep, useApi, Answer, Name, Table, ServiceHead, count, day, percent } from "./parts.js";
import { service as path, query as ask } from "./api.js";
import { Flame } from "./flame.js";

/** How many of a kind are shown. */
const Shown = 15;

export function Compare({ path: [, service], query }) {
  const history = useApi(path(service, "/history?limit=100")), builds = useApi(path(service));
  const from = useSide(service, query, "from"), to = useSide(service, query, "to");
  return html`<${ServiceHead} service=${service} view="compare" />
    <p>Choose two kept profiles, or say what each is to be made of: a build, a time, a selector.</p>
    <div class="columns">${[["from", "Before"], ["to", "After"]].map(([side, title]) => html`<section><h2>${title}</h2>
      <div class="tools"><label>Kept profile <select value=${query[side] || ""} onChange=${e => keep({ [side]: e.target.value })}><option value="">made of what is below</option>
        ${(history.data?.entries || []).map(e => html`<option value=${e.profile}>${e.profile.slice(0, 12)} ${day(e.generated)}</option>`)}</select></label>
      ${!query[side] && html`<label>Build <select value=${query[side + "Build"] || ""} onChange=${e => keep({ [side + "Build"]: e.target.value })}><option value="">all</option>
        ${(builds.data?.builds || []).map(b => html`<option value=${b.buildId}>${b.path.split("/").pop()} ${b.buildId.slice(0, 12)}</option>`)}</select></label>
      <label>Until <input type="date" value=${query[side + "Until"] || ""} onChange=${e => keep({ [side + "Until"]: e.target.value })} /></label>
      <label>Selector <input placeholder='{cluster="eu-1"}' value=${query[side + "Selector"] || ""} onChange=${e => keep({ [side + "Selector"]: e.target.value })} /></label>`}</div></section>`)}</div>
    ${!from.path || !to.path ? html`<p class="empty">Choose something on both sides.</p>` : html`<${Answer} of=${from}>${before => html`<${Answer} of=${to}>${after => html`<${Both} service=${service} from=${before.profile} to=${after.profile} query=${query} />`}<//>`}<//>`}`;
}

/** The profile of a side: generated, or found when it was before. */
function useSide(service, query, side) {
  const made = query[side + "Build"] || query[side + "Until"] || query[side + "Selector"];
  const at = query[side] ? path(service, "/pgo/" + encodeURIComponent(query[side])) : made
    ? ask(path(service, "/pgo"), { buildId: query[side + "Build"], until: query[side + "Until"], selector: query[side + "Selector"] }) : null;
  return { ...useApi(at), path: at };
}

function Both({ service, from, to, query }) {
  const changes = (list, title) => html`<section><h2>${title}</h2><${Table} name=${title} rows=${list.slice(0, Shown)} columns=${[["Function", f => html`<${Name} text=${f.function} />`], ["Before", f => count(f.fromSamples), 1], ["After", f => count(f.toSamples), 1]]} />${list.length > Shown && html`<p class="dim">and ${list.length - Shown} more, told by <code>perforator pgo --diff</code>.</p>`}</section>`;
  const inlining = (list, title) => html`<section><h2>${title}</h2><${Table} name=${title} rows=${list.slice(0, Shown)} columns=${[["Inlined", c => html`<${Name} text=${c.callee} />`], ["into", c => html`<${Name} text=${c.function} />`], ["Samples", c => count(c.samples), 1]]} />${list.length > Shown && html`<p class="dim">and ${list.length - Shown} more, told by <code>perforator pgo --diff</code>.</p>`}</section>`;
  return html`<${Answer} of=${useApi(ask(path(service, "/diff"), { from, to }))}>${diff => html`<p>The two overlap by <strong>${percent(diff.overlap)}</strong>:
      <a href=${link(["profile", service, from])}><code>${from.slice(0, 12)}</code></a> before, <a href=${link(["profile", service, to])}><code>${to.slice(0, 12)}</code></a> after.</p>
    <div class="columns">${changes(diff.becameHot, "Became hot")}${changes(diff.becameCold, "Became cold")}${inlining(diff.inliningGained, "Inlining gained")}${inlining(diff.inliningLost, "Inlining lost")}</div>`}<//>
    <h2>Flame graph of the later one: red has more than before, blue less</h2>
    <${Answer} of=${useApi(ask(path(service, `/pgo/${to}/tree`), { from }))}>${tree => html`<${Flame} tree=${tree} query=${query} />`}<//>`;
}

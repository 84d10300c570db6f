// What all views are made of.
import { h } from "./vendor/preact.js";
import { useLayoutEffect, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import { get, setToken, query } from "./api.js";

export const html = htm.bind(h);

/** A link to a view: the whole state of the page is in it. */
export const link = (path, values = {}) => "#/" + path.map(encodeURIComponent).join("/") + query("", values);

/** What the address says: the parts of the path and the query. */
export function here() {
  const [path, rest] = location.hash.replace(/^#\/?/, "").split("?");
  const decode = text => { try { return decodeURIComponent(text); } catch { return text; } };
  return { path: path.split("/").filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(rest)) };
}

/** Puts values into the address without a new entry in the history: what is typed. */
export function keep(values) {
  const now = here();
  const next = Object.fromEntries(Object.entries({ ...now.query, ...values }).filter(([, value]) => value));
  history.replaceState(null, "", link(now.path, next));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** JSON of the API: {data}, {error}, or neither while it is on its way. */
export function useApi(path) {
  const [state, set] = useState({});
  const [turn, again] = useState(0);
  // Before the first paint, as what is asked for is what people wait for.
  useLayoutEffect(() => {
    if (!path) return set({});
    const stop = new AbortController();
    set(old => ({ data: old.path === path ? old.data : undefined }));
    get(path, stop.signal).then(data => set({ path, data }), error => error.name !== "AbortError" && set({ path, error }));
    return () => stop.abort();
  }, [path, turn]);
  return { ...state, again: () => again(turn + 1) };
}

/** Shows what came of an API call, or what to do. */
export function Answer({ of, children }) {
  if (of.error) return html`<${Trouble} error=${of.error} again=${of.again} />`;
  if (of.data === undefined) return html`<p class="empty" role="status">Loading…</p>`;
  return children(of.data);
}

function Trouble({ error, again }) {
  const enter = event => {
    event.preventDefault();
    setToken(event.target.elements.token.value.trim());
    again();
  };
  return html`<div class="error" role="alert"><p>${error.message}</p>
    ${error.status === 401 || error.status === 403 ? html`<form onSubmit=${enter}>
        <label>Token, kept for this tab alone <input name="token" type="password" autocomplete="off" required /></label>
        <p><button>Use this token</button></p></form>`
      : html`<p><button onClick=${again}>Try again</button> or go to <a href="#/">all services</a>.</p>`}</div>`;
}

/** Names come from uploads: control and direction characters are shown as such, and the rest cut off with its length told. */
export function Name({ text, most = 300 }) {
  const shown = String(text).slice(0, most).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return html`<bdi class="name" title=${text.length > most ? `${text.length} characters` : undefined}>${shown}${text.length > most ? `… (${text.length} characters)` : ""}</bdi>`;
}

export const count = n => n >= 1e9 ? (n / 1e9).toFixed(1) + " G" : n >= 1e6 ? (n / 1e6).toFixed(1) + " M" : n >= 1e4 ? (n / 1e3).toFixed(1) + " k" : String(Math.round(n));
export const percent = share => share === null || share === undefined ? "–" : (100 * share).toFixed(share > 0.1 ? 0 : 2) + " %";
export const number = (n, digits = 2) => n === null || n === undefined ? "–" : Number(n).toFixed(digits);
export const day = time => new Date(time).toISOString().slice(0, 16).replace("T", " ");
export function age(time) {
  const hours = (Date.now() - new Date(time)) / 36e5;
  return hours < 1 ? Math.max(0, Math.round(hours * 60)) + " min" : hours < 48 ? Math.round(hours) + " h" : Math.round(hours / 24) + " d";
}

export const State = ({ state }) => html`<span class="state ${state.replace(" ", "-")}">${state}</span>`;

/** A line of thirty days; what it says is also said in words. */
export function Spark({ values }) {
  const most = Math.max(...values, 1);
  const points = values.map((value, i) => `${(i * 108 / (values.length - 1) + 1).toFixed(1)},${(20 - 18 * value / most).toFixed(1)}`).join(" ");
  return html`<svg class="spark" viewBox="0 0 110 22" role="img" aria-label=${`branches by day, at most ${count(most)}, ${count(values[values.length - 1])} today`}><polyline points=${points} /></svg>`;
}

/** A share as a bar beside its figure. */
export const Bar = ({ share }) => html`<span class="share"><span class="bar" aria-hidden="true" style=${{ width: Math.round(90 * Math.min(1, share)) + "px" }} /> ${percent(share)}</span>`;

/** A table of rows; columns are [title, cell(row), isNumber]. */
export const Table = ({ name, columns, rows, none }) => rows.length === 0 ? html`<p class="dim">${none || "None."}</p>`
  : html`<div class="scroll" tabindex="0" role="region" aria-label=${name}><table><thead><tr>${columns.map(([title, , isNumber]) => html`<th scope="col" class=${isNumber ? "number" : ""}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map(row => html`<tr>${columns.map(([, cell, isNumber]) => html`<td class=${isNumber ? "number" : ""}>${cell(row)}</td>`)}</tr>`)}</tbody></table></div>`;

/** The views of one service. */
export const ServiceHead = ({ service, view }) => html`<h1><${Name} text=${service} /></h1>
  <nav aria-label="Service" class="tools">${[["service", "Service"], ["profile", "Profile"], ["compare", "Compare"], ["history", "History"]]
    .map(([path, title]) => html`<a href=${link([path, service])} aria-current=${view === path ? "page" : undefined}>${title}</a>`)}</nav>`;

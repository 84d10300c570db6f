// Which view the address names. Views are loaded when they are first looked at.
import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { html, here } from "./parts.js";
import { Fleet } from "./fleet.js";

const views = {
  service: () => import("./service.js").then(module => module.Service),
  profile: () => import("./profile.js").then(module => module.Profile),
  compare: () => import("./compare.js").then(module => module.Compare),
  history: () => import("./history.js").then(module => module.History),
  agents: () => import("./agents.js").then(module => module.Agents),
};

function Page() {
  const [at, go] = useState(here());
  const [loaded, load] = useState({ name: "", view: Fleet });
  useEffect(() => {
    const moved = () => go(here());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const name = at.path[0] in views ? at.path[0] : "";
  useEffect(() => {
    document.title = (at.path[1] ? at.path[1] + " – " : "") + (name || "fleet") + " – Perforator";
    if (name !== loaded.name) (name ? views[name]() : Promise.resolve(Fleet)).then(view => load({ name, view }));
  }, [name, at.path[1]]);
  const Shown = loaded.name === name ? loaded.view : null;
  return html`<header><strong>Perforator</strong><nav aria-label="Main">
      <a href="#/" aria-current=${name === "" ? "page" : undefined}>Fleet</a><a href="#/agents" aria-current=${name === "agents" ? "page" : undefined}>Agents</a></nav></header>
    <main id="main" tabindex="-1">${Shown ? html`<${Shown} ...${at} key=${at.path.slice(0, 2).join("/")} />` : html`<p class="empty" role="status">Loading…</p>`}</main>`;
}

const root = document.getElementById("page");
root.textContent = "";
render(html`<${Page} />`, root);

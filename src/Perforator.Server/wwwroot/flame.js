// A flame graph on a canvas, with the same told in a table for who cannot see it.
import { useEffect, useMemo, useRef } from "./vendor/hooks.js";
import { html, keep, Name, Table, count, percent } from "./parts.js";

const Row = 18;

export function Flame({ tree, query }) {
  const canvas = useRef(), told = useRef();
  const graph = useMemo(() => lay(tree), [tree]);
  const zoom = Math.min(Number(query.zoom ?? -1), graph.nodes.length - 1), text = (query.find || "").toLowerCase();
  const top = zoom >= 0 ? graph.nodes[zoom] : { at: 0, samples: graph.total, depth: -1 };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;

  useEffect(() => {
    const draw = () => {
      const box = canvas.current;
      if (!box) return;
      const width = box.clientWidth, ratio = devicePixelRatio || 1;
      box.width = width * ratio;
      box.height = (graph.depth + 1) * Row * ratio;
      box.style.height = (graph.depth + 1) * Row + "px";
      const c = box.getContext("2d");
      c.scale(ratio, ratio);
      c.font = "12px system-ui, sans-serif";
      c.textBaseline = "middle";
      for (const node of graph.nodes) {
        const left = (node.at - top.at) / top.samples * width, wide = node.samples / top.samples * width;
        if (wide < 0.7 || left >= width || left + wide <= 0) continue;
        const x = Math.max(0, left), w = Math.min(width, left + wide) - x;
        c.fillStyle = colour(node, tree, graph, text, dark);
        c.fillRect(x, node.depth * Row, Math.max(0.5, w - 1), Row - 1);
        if (w > 40) {
          c.fillStyle = dark ? "#f2f4f6" : "#14171a";
          const fits = Math.floor(w / 6.6);
          c.fillText(clean(node.name.length > fits ? node.name.slice(0, fits - 1) + "…" : node.name), x + 3, node.depth * Row + Row / 2);
        }
      }
    };
    draw();
    const watch = new ResizeObserver(draw);
    watch.observe(canvas.current);
    return () => watch.disconnect();
  }, [graph, zoom, text]);

  const under = event => {
    const box = canvas.current.getBoundingClientRect();
    const at = top.at + (event.clientX - box.left) / box.width * top.samples, depth = Math.floor((event.clientY - box.top) / Row);
    return graph.nodes.findIndex(node => node.depth === depth && node.at <= at && at < node.at + node.samples);
  };
  const say = node => { told.current.textContent = node ? `${clean(node.name.slice(0, 200))}: ${count(node.samples)} samples, ${percent(node.samples / graph.total)}${node.inlined ? ", inlined" : ""}` : ""; };
  const heavy = graph.nodes.map((node, i) => [node, i]).filter(([node]) => zoom < 0 ? node.parent < 0 : node.parent === zoom).sort(([a], [b]) => b.samples - a.samples);
  return html`<div class="tools"><label>Find in the graph <input type="search" value=${query.find || ""} onInput=${e => keep({ find: e.target.value })} /></label>
      ${zoom >= 0 && html`<button onClick=${() => keep({ zoom: graph.nodes[zoom].parent >= 0 ? String(graph.nodes[zoom].parent) : "" })}>Zoom out</button><button onClick=${() => keep({ zoom: "" })}>Show all</button>`}
      ${text && html`<span role="status">${graph.nodes.filter(n => n.name.toLowerCase().includes(text)).length} nodes match</span>`}</div>
    <canvas class="flame" ref=${canvas} role="img" aria-label="Flame graph of inlining and calls; the table below says the same" onMouseMove=${e => say(graph.nodes[under(e)])}
      onClick=${e => { const at = under(e); if (at >= 0) keep({ zoom: String(at) }); }} />
    <p class="dim" ref=${told} />
    <p class="dim">Wide is much. ${tree.cutOff > 0 && `${percent(tree.cutOff / tree.totalSamples)} of the samples are in paths too small to be shown.`} A profile has no call stacks: below a call, a function has as much of its samples as the call has of its calls. Copies inlined are darker.</p>
    <details><summary>As a table${zoom >= 0 ? html`: below <${Name} text=${graph.nodes[zoom].name} most=80 />` : ""}</summary><${Table} name="Nodes" rows=${heavy.slice(0, 100)} none="Nothing below." columns=${[["Function", ([node, i]) => html`<button onClick=${() => keep({ zoom: String(i) })}><${Name} text=${node.name} /></button>`],
      ["How", ([node]) => node.parent < 0 ? "entered" : node.inlined ? "inlined" : "called"], ["Samples", ([node]) => count(node.samples), 1], ["Share", ([node]) => percent(node.samples / graph.total), 1],
      ...(tree.otherSamples ? [["Before", ([node]) => percent(node.other / tree.otherSamples), 1]] : [])]} /></details>`;
}

/** Places nodes beside each other below their parents, in the tree's own order. */
function lay(tree) {
  const nodes = tree.nodes.map(([parent, name, kind, samples, other]) => ({ parent, name: tree.names[name], inlined: kind === 1, samples, other, at: 0, depth: 0, used: 0 }));
  let end = 0, depth = 0;
  for (const node of nodes) {
    const above = nodes[node.parent];
    node.depth = above ? above.depth + 1 : 0;
    node.at = above ? above.at + above.used : end;
    if (above) above.used += node.samples; else end += node.samples;
    depth = Math.max(depth, node.depth);
  }
  return { nodes, total: end || 1, depth };
}

/** By the function's name; beside another profile, red for more and blue for less. */
function colour(node, tree, graph, text, dark) {
  if (text && node.name.toLowerCase().includes(text)) return dark ? "#a0289a" : "#e08ae0";
  if (tree.otherSamples) {
    const now = node.samples / tree.totalSamples, before = node.other / tree.otherSamples, by = Math.max(-1, Math.min(1, Math.log2((now + 1e-6) / (before + 1e-6)) / 2));
    return Math.abs(by) < 0.05 ? dark ? "#3a4047" : "#dfe3e7" : `hsl(${by > 0 ? 8 : 212} 70% ${dark ? 30 + 5 * (1 - Math.abs(by)) : 88 - 28 * Math.abs(by)}%)`;
  }
  let hash = 0;
  for (let i = 0; i < Math.min(node.name.length, 40); i++) hash = hash * 31 + node.name.charCodeAt(i) | 0;
  return `hsl(${20 + Math.abs(hash) % 40} 75% ${(dark ? 28 : 76) - (node.inlined ? dark ? 6 : 10 : 0)}%)`;
}

const clean = name => name.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

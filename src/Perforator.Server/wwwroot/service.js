// One service over time.
import { useEffect, useRef } from "./vendor/hooks.js";
import { html, link, useApi, Answer, Name, State, Bar, Table, ServiceHead, age, count, day, number, percent } from "./parts.js";
import { service as path } from "./api.js";

const colours = ["#3b82c4", "#d98232", "#4a9a5b", "#b3548f", "#8c7ae6", "#9a8a2f", "#2fa3a3", "#c44b4b"];

export function Service({ path: [, service] }) {
  return html`<${ServiceHead} service=${service} view="service" /><${Answer} of=${useApi(path(service, "/timeline?days=90"))}>${t => html`<${Timeline} t=${t} service=${service} />`}<//>`;
}

function Timeline({ t, service }) {
  const o = t.overview, x = t.days.map(d => Date.parse(d.day) / 1000);
  const releases = t.builds.map(b => Date.parse(b.firstSeen) / 1000);
  const main = t.builds.filter(b => b.effect).sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : a.firstSeen < b.firstSeen ? -1 : 1);
  return html`<p><${State} state=${o.state} /> ${o.reasons.map(reason => html`<span>${reason} </span>`)}</p>
    <dl class="figures">${[["Age", age(o.lastSeen)], [`Ratio (good from ${number(o.ratioThreshold, 1)})`, number(o.ratio)], [`Convergence (enough from ${number(o.convergenceThreshold, 1)})`, number(o.convergence)],
      ["Hot coverage", percent(o.hotCoverage)], ["Usable branches", percent(o.usableShare)], ["Builds", o.builds], ["Hosts", o.hosts], ["Uploads", count(o.uploads)]]
      .map(([title, value]) => html`<div><dt>${title}</dt><dd>${value}</dd></div>`)}</dl>
    <h2>Build with it</h2><pre tabindex="0">clang++ -O2 -g -fdebug-info-for-profiling $(perforator flags ${service}) …</pre>
    ${o.profile ? html`<p>Latest profile: <a href=${link(["profile", service, o.profile])}><code>${o.profile.slice(0, 16)}</code></a>, generated ${day(o.profileGenerated)} UTC.</p>`
      : html`<p>No profile has been generated yet; <code>perforator pgo ${service}</code> does, or <a href=${link(["profile", service])}>look at it here</a>.</p>`}
    <h2>Branches by day and build, for 90 days</h2>
    <${Chart} label="Taken branches by day, a band for each build" x=${x} marks=${releases} bands series=${t.builds.map((b, i) => [`${b.file} ${b.buildId.slice(0, 8)}`, t.days.map(d => d.buildBranches[i])])} />
    <h2>Ratio and hosts</h2>
    <${Chart} label="Ratio and hosts by day" x=${x} marks=${releases} series=${[["ratio", t.days.map(d => d.ratio)], ["hosts", t.days.map(d => d.hosts)]]} />
    <h2>Builds and what the compiler made of them</h2>
    <p class="dim">A release that was compiled with a profile runs more instructions per taken branch, has its hot code in fewer bytes, and calls less. Differences are to the build before it of the same file.</p>
    <${Table} name="Builds" rows=${main.concat(t.builds.filter(b => !b.effect))} columns=${[["Build", b => html`<${Name} text=${b.file} /> <code>${b.buildId.slice(0, 12)}</code>${b.current ? " (runs now)" : ""}`], ["First seen", b => day(b.firstSeen)], ["Last seen", b => day(b.lastSeen)],
      ["Branches", b => count(b.branches), 1], ["Hosts", b => b.hosts, 1], ["Instructions per taken branch", b => change(main, b, e => e.instructionsPerTakenBranch), 1],
      ["Bytes of 90 %", b => change(main, b, e => e.bytesOf90Percent, 0), 1], ["Calls per 1,000", b => change(main, b, e => e.callsPer1000Instructions), 1],
      ["Mispredicted", b => percent(b.effect?.mispredictedShare), 1], ["Missing", b => b.hasBinary ? b.hasDebugInfo ? "" : "no debug info" : "no binary"]]} />
    <div class="columns">${t.labels.map(l => html`<section><h2>${({ host: "Hosts", cpu: "CPU models", cluster: "Clusters", source: "Sources" })[l.name] || html`Label <${Name} text=${l.name} />`}</h2>
      <${Table} name=${l.name} rows=${l.values} columns=${[["Value", v => html`<${Name} text=${v.value} />`], ["Share of branches", v => html`<${Bar} share=${v.share} />`], ["Last seen", v => age(v.lastSeen)]]} />
      ${l.totalValues > l.values.length && html`<p class="dim">and ${l.totalValues - l.values.length} more</p>`}</section>`)}
      <section><h2>Files</h2><${Table} name="Files" rows=${t.files} columns=${[["File", f => html`<${Name} text=${f.name} />`], ["Share of branches", f => html`<${Bar} share=${f.shareOfBranches} />`], ["In the profile", f => f.problem || "yes"]]} /></section>
      <section><h2>Losses of the latest profile</h2><${Table} name="Losses" rows=${t.losses} none="Nothing was lost, or no profile was generated yet." columns=${[["Reason", l => html`<${Name} text=${l.reason} />`], ["Count", l => count(l.count), 1]]} /></section></div>
    <h2>Generated profiles</h2><${Table} name="Generated profiles" rows=${[...t.profiles].reverse()} none="None yet." columns=${[["Profile", p => html`<a href=${link(["profile", service, p.profile])}><code>${p.profile.slice(0, 12)}</code></a>`], ["Data until", p => day(p.dataUntil)],
      ["Ratio", p => number(p.ratio), 1], ["Convergence", p => number(p.convergence), 1], ["Hot coverage", p => percent(p.hotCoverage), 1], ["Hosts", p => p.hosts, 1]]} />`;
}

/** A figure of a build's effect, and how it differs from the build before of the same file. */
function change(builds, build, figure, digits = 2) {
  if (!build.effect) return "–";
  const before = builds[builds.indexOf(build) - 1], value = figure(build.effect);
  if (!before || before.file !== build.file || !figure(before.effect)) return number(value, digits);
  const by = 100 * (value / figure(before.effect) - 1);
  return html`${number(value, digits)} <span class="dim">(${by >= 0 ? "+" : "−"}${Math.abs(by).toFixed(0)} %)</span>`;
}

function Chart({ label, x, series, marks, bands }) {
  const box = useRef();
  useEffect(() => {
    let chart, watch, gone = false;
    import("./vendor/uplot.js").then(({ default: Plot }) => {
      if (gone || !box.current) return;
      const style = getComputedStyle(document.documentElement), text = style.getPropertyValue("--dim"), line = style.getPropertyValue("--line");
      const shown = bands ? series.map(([name], i) => [name, x.map((_, at) => series.slice(0, i + 1).reduce((sum, [, values]) => sum + values[at], 0))]) : series;
      const axis = { stroke: text, grid: { stroke: line }, ticks: { stroke: line } };
      const releases = { hooks: { draw: u => {
        u.ctx.save(); u.ctx.strokeStyle = text; u.ctx.setLineDash([4, 4]);
        for (const at of marks) { const left = u.valToPos(at, "x", true); u.ctx.beginPath(); u.ctx.moveTo(left, u.bbox.top); u.ctx.lineTo(left, u.bbox.top + u.bbox.height); u.ctx.stroke(); }
        u.ctx.restore(); } } };
      // The sum of all bands is drawn first, so that each lower one covers it.
      const order = bands ? shown.map((_, i) => shown.length - 1 - i) : shown.map((_, i) => i);
      chart = new Plot({ width: box.current.clientWidth, height: 230, plugins: [releases], scales: { x: { time: true } },
        series: [{}, ...order.map(i => ({ label: shown[i][0], stroke: colours[i % colours.length], width: 2, fill: bands ? colours[i % colours.length] : undefined,
          scale: bands || i === 0 ? "y" : "right", value: (u, v, s, at) => at === null || at === undefined ? "–" : count(series[i][1][at] ?? 0) }))],
        axes: [axis, { ...axis, size: 64, values: (u, values) => values.map(v => v < 100 && v % 1 ? v.toFixed(1) : count(v)) }, ...(bands ? [] : [{ ...axis, scale: "right", side: 1, grid: { show: false } }])] },
        [x, ...order.map(i => shown[i][1])], box.current);
      watch = new ResizeObserver(() => box.current && chart.setSize({ width: box.current.clientWidth, height: 230 }));
      watch.observe(box.current);
    });
    return () => { gone = true; watch?.disconnect(); chart?.destroy(); };
  }, [series.length, x.length]);
  return html`<link rel="stylesheet" href="vendor/uplot.css" /><div class="chart" ref=${box} role="img" aria-label=${label} />`;
}

// The public API, as any client speaks it. Addresses are relative: the page works below any path of a proxy.
const Token = "perforator.token";

/** What went wrong, in the server's own words where it has some. */
export class ApiError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

/** A token for this tab alone; null takes it away. */
export function setToken(token) {
  if (token) sessionStorage.setItem(Token, token); else sessionStorage.removeItem(Token);
}

const headers = () => {
  const token = sessionStorage.getItem(Token);
  return token ? { Authorization: "Bearer " + token } : {};
};

async function ask(path, signal) {
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI.split("#")[0]), { headers: headers(), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. See that 'perforator serve' runs and that this page's address still leads to it.");
  }
  if (response.ok) return response;
  let detail;
  try { detail = (await response.json()).detail; } catch { /* not ours: a proxy's page, say */ }
  throw new ApiError(response.status, detail || `The server answered ${response.status} ${response.statusText}; a proxy before it may say why.`);
}

/** JSON of a path below api/v1; waits for a job that the server answers with. */
export async function get(path, signal) {
  let response = await ask("api/v1/" + path, signal);
  while (response.status === 202) {
    const job = await response.json();
    await new Promise(resume => setTimeout(resume, 1000 * (Number(response.headers.get("Retry-After")) || 1)));
    response = await ask("api/v1/jobs/" + encodeURIComponent(job.id), signal);
  }
  return response.json();
}

/** Saves a generated profile; a link could not carry the token. */
export async function download(hash, name) {
  const url = URL.createObjectURL(await (await ask("api/v1/results/" + hash)).blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A path with a query of what is not empty. */
export const query = (path, values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? path + "?" + new URLSearchParams(given) : path;
};
export const service = (name, rest = "") => "services/" + encodeURIComponent(name) + rest;
